#include "numerics/exp_polynomial.hpp"

#include "numerics/chebyshev_series.hpp"
#include "numerics/double_double.hpp"
#include "numerics/rounding.hpp"
#include "polyattn/error.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <sstream>
#include <string>
#include <utility>

// Polynomials close to exp on [-R, R] with their error constants.
//
// Statement. For 0 <= R <= 300, 0 <= 2q <= g <= 400 the returned coefficients c_0 .. c_g (doubles, taken as exact
// numbers) satisfy, for every real |x| <= R,
//
//     |sum_t c_t x^t - exp(x)| <= error x^(2q) + absolute_slack,     absolute_slack = 0 for q <= 1.
//
// P = Taylor_{2q-1}(x) + x^(2q) p(x), p the Chebyshev series of the remainder over x^(2q) truncated at degree m = g -
// 2q. All Chebyshev coefficients of the remainder are positive (a power of x has none below zero), so the truncation
// error of p is at most, and at x = R exactly, the sum of the dropped ones; q = 0 gives delta = 2 sum_{k>g} I_k(R)
// (a polynomial as [AS23] Lemma 2.1 asks for, with its constant). `error` adds what the coefficients lose: the series
// was cut after N terms, computed in Pairs, expanded into monomials (where terms cancel) and rounded to doubles.
// `absolute_slack` is the rounding of 1/t! for 3 <= t < 2q, which no multiple of x^(2q) covers near x = 0. Proofs:
// docs/proofs/exp-polynomials.md. Assumes rounding to nearest.
//
// Cost: (N^2 + m^2)/2 operations on Pairs, N = m + 10 .. 30 for moderate R; a few microseconds at degree 20.

namespace polyattn::numerics {

namespace {

// Below this radius the polynomial of this radius is used: it holds there too, and no power of it needed here
// underflows.
constexpr double kSmallestRadius = 0x1p-200;
constexpr double kSmallestNormal = std::numeric_limits<double>::min();

/// value 2^exponent: a Pair that may leave the range of doubles.
struct WidePair {
  Pair value{1.0, 0.0};
  int exponent = 0;
};

WidePair normalised(WidePair x) noexcept {
  while (std::fabs(x.value.hi) < 0x1p-256 && x.value.hi != 0.0) x = {scale(x.value, 0x1p+256), x.exponent - 256};
  return x;
}

// Of normalised factors: no part of the product underflows.
WidePair multiply(const WidePair& x, const WidePair& y) noexcept {
  return normalised({numerics::multiply(x.value, y.value), x.exponent + y.exponent});
}

struct Coefficient {
  double value = 0.0;
  double loss = 0.0;  ///< |value - wide| relative to |wide|, rounded up except for 4U
};

// To nearest; what would be subnormal becomes zero and loses everything.
Coefficient rounded(const WidePair& wide) noexcept {
  if (wide.value.hi == 0.0) return {};
  const double value = std::ldexp(wide.value.hi, wide.exponent);
  if (std::fabs(value) < kSmallestNormal) return {0.0, 1.0};
  return {value, std::fabs(wide.value.lo / wide.value.hi)};
}

struct Expansion {
  std::vector<double> hi;  ///< p(x) (2q)! = sum_t (hi[t] + lo[t]) (x / stretch)^t
  std::vector<double> lo;
};

// Clenshaw's recurrence on coefficient vectors. With z = x / stretch and rho = scale the series is sum' beta_k S_k(z),
// S_{k+1} = 2z S_k - rho^2 S_{k-1}: B_k = beta_k + 2z B_{k+1} - rho^2 B_{k+2} for k = m .. 1, then beta_0/2 + z B_1 -
// rho^2 B_2.
Expansion expand(const ChebyshevSeries& series, int m) {
  const auto size = static_cast<std::size_t>(m) + 1;
  const double square = series.scale * series.scale;
  std::vector<double> one_hi(size), one_lo(size), two_hi(size),
      two_lo(size);  // B_{k+1}; B_{k+2}, then B_k in its place
  for (int k = m; k >= 0; --k) {
    const double shift = k > 0 ? 2.0 : 1.0;
    const auto length = static_cast<std::size_t>(m - k) + 1;
    const Pair head = add(scale(series.beta(k), k > 0 ? 1.0 : 0.5), Pair{-square * two_hi[0], -square * two_lo[0]});
    two_hi[0] = head.hi;
    two_lo[0] = head.lo;
    double* __restrict target_hi = two_hi.data();
    double* __restrict target_lo = two_lo.data();
    const double* __restrict source_hi = one_hi.data();
    const double* __restrict source_lo = one_lo.data();
    for (std::size_t t = 1; t < length; ++t) {
      const Pair sum = add(Pair{shift * source_hi[t - 1], shift * source_lo[t - 1]},
                           Pair{-square * target_hi[t], -square * target_lo[t]});
      target_hi[t] = sum.hi;
      target_lo[t] = sum.lo;
    }
    std::swap(one_hi, two_hi);
    std::swap(one_lo, two_lo);
  }
  return {std::move(one_hi), std::move(one_lo)};
}

// sum_{k<=m} b_k theta_k with theta_k the sum of the absolute values of T_k's coefficients (theta_{k+1} = 2 theta_k +
// theta_{k-1}): what the errors of `expand` are relative to.
double expansion_size(const ChebyshevSeries& series, int m) noexcept {
  double previous = 0.0;
  double theta = 1.0;  // rho^k theta_k
  double sum = 0.5 * series.hi[0];
  for (int k = 1; k <= m; ++k) {
    const double next = k == 1 ? series.scale : series.scale * (2.0 * theta + series.scale * previous);
    previous = theta;
    theta = next;
    sum += series.hi[static_cast<std::size_t>(k)] * theta;
  }
  return inflate(sum, 5 * m + 8);
}

double absolute_sum(const std::vector<double>& coefficients, double radius) noexcept {
  double sum = 0.0;
  for (std::size_t t = coefficients.size(); t-- > 0;) sum = std::fabs(coefficients[t]) + radius * sum;
  return inflate(sum, 2 * static_cast<std::int64_t>(coefficients.size()) + 2);
}

// Taylor coefficients 1/t! for t < count into `result`; returns 1/count!. The loss of 1/3!, 1/4!, … at |x| <= radius is
// added to result.absolute_slack. 1, 1 and 1/2 are exact.
WidePair taylor_part(ExpPolynomial& result, double radius, int count) {
  WidePair inverse_factorial;
  double term = 1.0;  // radius^t / t!
  double slack = 0.0;
  for (int t = 0; t < count; ++t) {
    const Coefficient c = rounded(inverse_factorial);
    result.coefficients.push_back(c.value);
    if (t >= 3) slack += (c.loss + t * (2.0 * kPair)) * term;
    inverse_factorial = normalised({divide(inverse_factorial.value, t + 1), inverse_factorial.exponent});
    term *= radius / (t + 1);
  }
  if (count > 3) result.absolute_slack = inflate(slack, 4 * count + 8) + 0x1p-1000;
  return inverse_factorial;
}

// The coefficients of p and `error`.
void remainder_part(ExpPolynomial& result, const ChebyshevSeries& series, int m, int q,
                    const WidePair& inverse_factorial) {
  const Expansion expansion = expand(series, m);
  const WidePair shrink{divide(Pair{1.0, 0.0}, series.stretch), 0};
  WidePair weight = inverse_factorial;  // stretch^-t / (2q)!
  double loss = 0.0;                    // sum_t |c_t - computed p_t| R^t (2q)!
  double power = 1.0;                   // scale^t
  for (std::size_t t = 0; t < expansion.hi.size(); ++t) {
    const Coefficient c = rounded(multiply(normalised({Pair{expansion.hi[t], expansion.lo[t]}, 0}), weight));
    result.coefficients.push_back(c.value);
    loss += c.loss * std::fabs(expansion.hi[t]) * power;
    power *= series.scale;
    weight = multiply(weight, shrink);
  }
  // Operations on Pairs from the start to a coefficient: 3 a term, 2 a level of `expand`, 2 a power of `stretch`, one a
  // factor of (2q)!, and a few; the constant leaves room for their products.
  const double operations = 4.0 * series.terms + 5.0 * m + 4.0 * q + 16.0;
  const double arithmetic = operations * kPair * expansion_size(series, m);
  const double square = static_cast<double>(m + 2) * static_cast<double>(m + 2);
  const double underflow = (series.underflow + square * 0x1p-1000) * std::ldexp(1.0, 1 + static_cast<int>(1.2716 * m));
  const double total = tail(series, m) + series.neglected + inflate(loss, 2 * m + 16) + arithmetic + underflow;
  const double factor = std::ldexp(inverse_factorial.value.hi, inverse_factorial.exponent);
  result.error = inflate(total, 16) * inflate(std::max(factor, kSmallestNormal), 4) + kSmallestNormal;
}

std::string text(double x) {
  std::ostringstream stream;
  stream.precision(17);
  stream << x;
  return stream.str();
}

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::invalid_argument, message); }

void check_radius(double radius) {
  if (!(radius >= 0.0 && radius <= kMaxRadius))
    refuse("exp polynomial: radius must be between 0 and " + text(kMaxRadius) + ", got " + text(radius));
}

void check_degree(int degree) {
  if (degree < 0 || degree > kMaxDegree)
    refuse("exp polynomial: degree must be between 0 and " + std::to_string(kMaxDegree) + ", got " +
           std::to_string(degree));
}

void check_moment(int q, int degree) {
  if (q < 0 || q > degree / 2)
    refuse("exp polynomial: moment must be between 0 and half the degree, " + std::to_string(degree / 2) + ", got " +
           std::to_string(q));
}

}  // namespace

ExpPolynomial chebyshev(double radius, int degree) { return moment_matched(radius, degree, 0); }

ExpPolynomial moment_matched(double radius, int degree, int q) {
  return ExpSeries(radius, q, degree).truncated(degree);
}

ExpSeries::ExpSeries(double radius, int q, int highest_degree)
    : radius_(radius), q_(q), highest_degree_(highest_degree) {
  check_radius(radius);
  check_degree(highest_degree);
  check_moment(q, highest_degree);
  series_ = chebyshev_series(std::max(radius, kSmallestRadius), q, highest_degree - 2 * q);
}

ExpPolynomial ExpSeries::truncated(int degree) const {
  check_degree(degree);
  check_moment(q_, degree);
  if (degree > highest_degree_)
    refuse("exp polynomial: degree must be at most " + std::to_string(highest_degree_) + ", got " +
           std::to_string(degree));
  ExpPolynomial result;
  result.radius = radius_;
  result.degree = degree;
  result.moment = q_;
  result.coefficients.reserve(static_cast<std::size_t>(degree) + 1);
  const WidePair inverse_factorial = taylor_part(result, std::max(radius_, kSmallestRadius), 2 * q_);
  remainder_part(result, series_, degree - 2 * q_, q_, inverse_factorial);
  if (radius_ == 0.0) {
    // Only x = 0 is left, where P(0) = 1 = exp(0): c_0 is 1 to far below rounding at the smallest radius.
    result.coefficients[0] = 1.0;
    result.error = 0.0;
    result.absolute_slack = 0.0;
  }
  result.absolute_sum = absolute_sum(result.coefficients, radius_);
  return result;
}

double ExpSeries::truncation_error(int degree) const {
  check_degree(degree);
  check_moment(q_, degree);
  double factorial = 1.0;
  for (int t = 2; t <= 2 * q_; ++t) factorial *= t;
  return radius_ == 0.0 ? 0.0 : (tail(series_, degree - 2 * q_) + series_.neglected) / factorial;
}

std::vector<double> chebyshev_errors(double radius, int max_degree) {
  check_radius(radius);
  check_degree(max_degree);
  std::vector<double> errors(static_cast<std::size_t>(max_degree) + 1, 0.0);
  if (radius == 0.0) return errors;
  const ChebyshevSeries series = chebyshev_series(std::max(radius, kSmallestRadius), 0, max_degree);
  const double extra = inflate(series.neglected + series.underflow, 4);
  double sum = tail(series, max_degree);
  for (int g = max_degree;; --g) {
    errors[static_cast<std::size_t>(g)] = inflate(sum + extra, max_degree - g + 4);
    if (g == 0) return errors;
    const int exponent = g * std::ilogb(series.scale);
    sum += inflate(std::ldexp(series.hi[static_cast<std::size_t>(g)], exponent), 4);
  }
}

ExpPolynomial lowest_degree(double radius, double tolerance, bool relative) {
  check_radius(radius);
  if (!(tolerance > 0.0) || std::isinf(tolerance))
    refuse("exp polynomial: tolerance must be positive and finite, got " + text(tolerance));
  // exp(-R) rounded down: within 16 ulp by any libm.
  const double allowed = relative ? tolerance * (std::exp(-radius) * (1.0 - 0x1p-48)) * (1.0 - 0x1p-52) : tolerance;
  int first = 0;
  for (int most = 24;; most = std::min(4 * most, kMaxDegree)) {
    const std::vector<double> errors = chebyshev_errors(radius, most);
    const auto found = std::find_if(errors.begin(), errors.end(), [&](double e) { return e <= allowed; });
    first = static_cast<int>(found - errors.begin());
    if (found != errors.end() || most == kMaxDegree) break;
  }
  // The rounding of the coefficients comes on top. Once the truncation is far below the tolerance more degrees cannot
  // help.
  for (int g = first; g <= kMaxDegree && g <= first + 32; ++g) {
    ExpPolynomial result = chebyshev(radius, g);
    if (result.error <= allowed) return result;
  }
  throw Error(ErrorCode::not_reachable,
              "exp polynomial: tolerance " + text(tolerance) + " is not reachable: no degree up to " +
                  std::to_string(kMaxDegree) + " with float64 coefficients has an error" +
                  (relative ? " relative to exp" : "") + " that small for |x| <= " + text(radius));
}

}  // namespace polyattn::numerics
