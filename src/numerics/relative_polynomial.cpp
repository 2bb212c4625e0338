#include "numerics/relative_polynomial.hpp"

#include "numerics/double_double.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

// A polynomial of degree g whose error relative to exp is near the least there is.
//
// Statement. Let x = R cos(theta), J_k the Bessel functions of the first kind, and
//
//     P = sum'_{j<=g} p_j T_j(x/R),   p_j = sum_{k=j}^{g} 2 J_k(R) R^(k-j)/(k-j)!  -  sum_{k>g} 2 J_k(R) R^(k+j)/(k+j)!
//
// (the prime halves p_0). Then for |x| <= R
//
//     |P(x) exp(-x) - 1| <= 2 sum_{k>g} |J_k(R)| + exp(R) sum_{k>g} 2 |J_k(R)| sum_{l>k+g} R^l/l!.
//
// Proof: docs/proofs/factors.md. In short, exp(x) cos(k theta - R sin theta) = sum_l R^l/l! T_{|k-l|}(x/R), and by
// Jacobi and Anger 1 = sum_k J_k(R) cos(k theta - R sin theta); P keeps the terms k <= g, the reflected ones included.
// The truncated Chebyshev series has 2 sum_{k>g} I_k(R) in place of the first sum, and that times exp(R) when its error
// is taken relative to exp.
//
// `error` adds what the coefficients lose: P is computed in Pairs, expanded into powers of s/R = x/R + middle/R and
// rounded to doubles.

namespace polyattn::numerics {

namespace {

constexpr double kSmallestRadius = 0x1p-200;  // below it that of twice this radius about 0 is used: it holds there too
constexpr int kBeyond = 64;                   // Bessel functions beyond the degree
constexpr int kLast = kMaxRelativeDegree + kBeyond;
constexpr int kPowers = kLast + kMaxRelativeDegree + 2;
constexpr double kUnderflow = 0x1p-700;

/// value = sum_m (-1)^m h^(k+2m) / (m! (k+m)!), h = R/2; `size` the sum of the absolute values, which is I_k(R).
struct Bessel {
  Pair value;
  double size = 0.0;
  int terms = 0;
};

/// base^l/l! for l = 0 .. : two operations a power.
template <std::size_t count>
std::array<Pair, count> exponential_terms(double base) noexcept {
  std::array<Pair, count> terms;
  terms[0] = {1.0, 0.0};
  for (std::size_t l = 1; l < count; ++l) {
    terms[l] = divide(multiply(terms[l - 1], Pair{base, 0.0}), static_cast<double>(l));
  }
  return terms;
}

// Ends where the terms fall by 4 each and the rest is below 2^-118 of `size`, less than one operation's error.
Bessel bessel(Pair first, double half, int k) noexcept {
  const Pair square = two_product(half, half);
  Bessel sum{first, std::fabs(first.hi), 1};
  Pair term = first;
  for (int m = 1;; ++m) {
    const double divisor = static_cast<double>(m) * static_cast<double>(m + k);
    term = divide(multiply(term, square), -divisor);
    sum.value = add(sum.value, term);
    sum.size += std::fabs(term.hi);
    sum.terms = m + 1;
    if (4.0 * square.hi < divisor && std::fabs(term.hi) <= 0x1p-120 * sum.size) return sum;
  }
}

/// sum_{l>=n} R^l/l!, rounded up.
double exponential_tail(const std::array<Pair, kPowers>& powers, double radius, int n) noexcept {
  const double ratio = radius / (n + 1);
  if (ratio > 0.75) return std::exp(radius) * (1.0 + 0x1p-48);
  return inflate(powers[static_cast<std::size_t>(n)].hi / (1.0 - ratio), 8 * n + 8);
}

/// sum'_j p_j T_j(u - mu) in powers of u, by Clenshaw's recurrence on coefficient vectors: B_j = p_j + 2(u - mu)
/// B_{j+1}
/// - B_{j+2}, and half of p_0 and of the factor 2 at the end.
std::vector<Pair> expand(const std::vector<Pair>& p, Pair mu) {
  const std::size_t size = p.size();
  std::vector<Pair> one(size), two(size);  // B_{j+1}; B_{j+2}, then B_j in its place
  for (std::size_t j = size; j-- > 0;) {
    const double factor = j > 0 ? 2.0 : 1.0;
    const Pair shift = scale(mu, -factor);
    for (std::size_t t = size - j; t-- > 0;) {
      Pair sum = scale(two[t], -1.0);
      if (t > 0) sum = add(sum, scale(one[t - 1], factor));
      sum = add(sum, multiply(shift, one[t]));
      two[t] = t == 0 ? add(scale(p[j], 0.5 * factor), sum) : sum;
    }
    std::swap(one, two);
  }
  return one;
}

struct Series {
  std::vector<Pair> p;
  std::vector<double> size;  ///< of each p_j: what its error is relative to
  double relative = 0.0;     ///< 2 sum_{k>g} |J_k|
  double absolute = 0.0;     ///< what is left out beyond that, absolute
  int operations = 0;        ///< on Pairs, from the start to a p_j
};

Series make_series(double radius, int degree) {
  const int last = degree + kBeyond;
  const double half = 0.5 * radius;
  const auto powers = exponential_terms<kPowers>(radius);
  const auto halves = exponential_terms<kLast + 2>(half);
  Series series;
  series.p.assign(static_cast<std::size_t>(degree) + 1, Pair{});
  series.size.assign(series.p.size(), 0.0);
  int terms = 0;
  std::vector<Bessel> j_of;
  for (int k = 0; k <= last; ++k) {
    j_of.push_back(bessel(halves[static_cast<std::size_t>(k)], half, k));
    terms = std::max(terms, j_of.back().terms);
  }
  series.operations = 6 * last + 3 * terms + 2 * degree + 32;
  for (int k = last; k >= 0; --k) {
    const Bessel& bessel_k = j_of[static_cast<std::size_t>(k)];
    const Pair twice = scale(bessel_k.value, k <= degree ? 2.0 : -2.0);
    for (int j = 0; j <= std::min(k, degree); ++j) {
      const auto i = static_cast<std::size_t>(j);
      const Pair power = powers[static_cast<std::size_t>(k <= degree ? k - j : k + j)];
      series.p[i] = add(series.p[i], multiply(twice, power));
      series.size[i] += 2.0 * bessel_k.size * power.hi;
    }
    if (k <= degree) continue;
    const double most = 2.0 * (std::fabs(bessel_k.value.hi) + series.operations * kPair * bessel_k.size);
    series.relative += most;
    series.absolute += most * exponential_tail(powers, radius, k + degree + 1);
  }
  // |J_k| <= (R/2)^k/k! for k > last, whose terms fall by half at least: R/2 <= 12, last + 2 >= 66.
  const double rest = 4.0 * halves[static_cast<std::size_t>(last) + 1].hi;
  series.relative = inflate(series.relative + rest, 4 * last + 64);
  series.absolute = inflate(series.absolute + rest * std::exp(radius), 4 * last + 64);
  return series;
}

}  // namespace

double RelativePolynomial::absolute_sum(double a) const noexcept {
  const double ratio = a / radius * (1.0 + 0x1p-50);
  double sum = 0.0;
  for (std::size_t t = coefficients.size(); t-- > 0;) sum = std::fabs(coefficients[t]) + ratio * sum;
  return inflate(sum, 4 * static_cast<std::int64_t>(coefficients.size()) + 4) + kUnderflow;
}

RelativePolynomial relative_polynomial(double low, double high, int degree) {
  RelativePolynomial result;
  result.middle = 0.5 * low + 0.5 * high;
  // At least the distance to either end, both of which are within a rounding of exact.
  result.radius = std::max(high - result.middle, result.middle - low) * (1.0 + 0x1p-50);
  if (result.radius <= kSmallestRadius) {
    result.middle = 0.0;
    result.radius = 2.0 * kSmallestRadius;
  }
  result.degree = degree;
  const Series series = make_series(result.radius, degree);
  const Pair mu = divide(Pair{result.middle, 0.0}, result.radius);
  const std::vector<Pair> exact = expand(series.p, mu);

  // |s/R| <= 1 + |mu|: theta_j bounds sum_t |coefficient of u^t in T_j(u - mu)| (1 + |mu|)^t.
  const double reach = (1.0 + std::fabs(mu.hi)) * (1.0 + 0x1p-50);
  const double twice = 2.0 * (1.0 + 2.0 * std::fabs(mu.hi)) * (1.0 + 0x1p-50);
  double theta = 1.0;
  double previous = 0.0;
  double size = 0.0;
  double loss = 0.0;
  double power = 1.0;
  for (std::size_t t = 0; t < exact.size(); ++t) {
    size += series.size[t] * theta;
    const double next = t == 0 ? 0.5 * twice : twice * theta + previous;
    previous = theta;
    theta = next;
    result.coefficients.push_back(exact[t].hi);
    loss += std::fabs(exact[t].lo) * power;
    power *= reach;
  }
  const double operations = static_cast<double>(series.operations) + 6.0 * degree + 16.0;
  const double absolute = inflate(series.absolute + loss + 1.01 * operations * kPair * size, 8 * degree + 64);
  const double largest = std::exp(result.radius) * (1.0 + 0x1p-48);
  result.error = inflate(series.relative + (absolute + kUnderflow) * largest, 8);
  return result;
}

}  // namespace polyattn::numerics
