#include "numerics/chebyshev_series.hpp"

#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

// Horner's rule on Chebyshev series. With s = 2q and N = terms,
//
//     g_{s+N} = 1,   g_{j-1}(x) = 1 + (x/j) g_j(x)   for j = s+N .. s+1,   f_terms = g_s,
//
// and multiplying by x averages neighbours: x sum' b_k T_k(x/R) = (R/2) sum' (b_{k-1} + b_{k+1}) T_k, with b_{-1} = b_1
// and the prime halving b_0. All coefficients stay positive, so nothing cancels and the relative errors of the steps
// just add: three operations of double_double.hpp a step. For q = 0 these are the Bessel functions, b_k = 2 I_k(R).
//
// Writing b_k = rho^k beta_k with rho = min(1, 2^floor(log2 R)) keeps small radii away from underflow: the step becomes
// beta_k <- (sigma / 2j) (beta_{k-1} + rho^2 beta_{k+1}), sigma = R / rho.
//
// Cost: about N^2/2 multiply-adds of Pairs.

namespace polyattn::numerics {

namespace {

struct Length {
  int terms;
  double neglected;
};

// The terms t_n = R^n s!/(n+s)! beyond N sum to at most t_{N+1} / (1 - R/(N+s+2)), and x^n = R^n at its largest. The
// lower bound of b_{degree+1} is what t_{degree+1} alone gives to it.
Length choose_terms(double radius, int s, int degree) noexcept {
  double term = 1.0;
  double sum = 1.0;
  double lead = 0.0;
  for (int n = 1;; ++n) {
    term *= radius / (n + s);
    sum += term;
    if (n <= degree) continue;
    if (n == degree + 1) lead = std::ldexp(term, -degree);
    const double ratio = radius / (n + s + 2);
    if (ratio > 0.75) continue;
    const double rest = term * (radius / (n + s + 1)) / (1.0 - ratio);
    if (rest <= 0x1p-20 * lead || rest <= 0x1p-64 * sum) return {n, inflate(rest, 2 * n + 16) + 0x1p-1000};
  }
}

// One step for k = 1 .. count: next_k = factor (now_{k-1} + square now_{k+1}).
void multiply_by_x(const double* __restrict now_hi, const double* __restrict now_lo, double* __restrict next_hi,
                   double* __restrict next_lo, int count, Pair factor, double square) noexcept {
  for (int k = 1; k <= count; ++k) {
    const Pair below{now_hi[k - 1], now_lo[k - 1]};
    const Pair above{now_hi[k + 1] * square, now_lo[k + 1] * square};
    const Pair result = multiply(add_same_sign(below, above), factor);
    next_hi[k] = result.hi;
    next_lo[k] = result.lo;
  }
}

}  // namespace

ChebyshevSeries chebyshev_series(double radius, int q, int degree) {
  const int s = 2 * q;
  const Length length = choose_terms(radius, s, degree);
  ChebyshevSeries series;
  series.terms = length.terms;
  series.neglected = length.neglected;
  series.scale = std::min(1.0, std::ldexp(1.0, std::ilogb(radius)));
  series.stretch = radius / series.scale;
  const double square = series.scale * series.scale;

  const auto size = static_cast<std::size_t>(length.terms) + 3;
  std::vector<double> next_hi(size), next_lo(size);
  series.hi.assign(size, 0.0);
  series.lo.assign(size, 0.0);
  series.hi[0] = 2.0;
  for (int step = 0; step < length.terms; ++step) {
    const int j = s + length.terms - step;
    const Pair factor = divide(Pair{series.stretch, 0.0}, 2.0 * j);
    multiply_by_x(series.hi.data(), series.lo.data(), next_hi.data(), next_lo.data(), step + 1, factor, square);
    const Pair constant = multiply(scale(series.beta(1), 2.0 * square), factor);
    const Pair raised = add_same_sign(Pair{2.0, 0.0}, constant);
    next_hi[0] = raised.hi;
    next_lo[0] = raised.lo;
    std::swap(series.hi, next_hi);
    std::swap(series.lo, next_lo);
  }

  // Fewer than 64 operations an element, each off by at most 2^-1022 where it underflows, multiplied by less than 2^9
  // inside the step (factor < 2^8) and by at most prod R/j <= e^R < 2^(1.4427 R) in the steps that follow.
  const double elements = static_cast<double>(length.terms + 1) * static_cast<double>(length.terms + 1);
  series.underflow = elements * std::ldexp(1.0, -1022 + 6 + 9 + 2 + static_cast<int>(1.4427 * radius));
  return series;
}

double tail(const ChebyshevSeries& series, int degree) noexcept {
  double sum = 0.0;
  for (int k = series.terms; k > degree; --k) sum = series.hi[static_cast<std::size_t>(k)] + series.scale * sum;
  const double exact_power = std::ldexp(sum, (degree + 1) * std::ilogb(series.scale));
  return inflate(exact_power, 2 * (series.terms - degree) + 4);
}

}  // namespace polyattn::numerics
