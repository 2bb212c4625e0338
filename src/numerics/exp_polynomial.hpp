#pragma once

// Polynomials close to exp on [-R, R], their coefficients and proved error constants: see exp_polynomial.cpp.

#include "numerics/chebyshev_series.hpp"
#include "polyattn/polynomial.hpp"

#include <vector>

namespace polyattn::numerics {

/// The public struct: radius, degree, moment, error, absolute_slack, coefficients, absolute_sum.
using polyattn::ExpPolynomial;

inline constexpr double kMaxRadius = 300.0;
inline constexpr int kMaxDegree = 400;

/// Truncated Chebyshev series: |P(x) - exp(x)| <= error for |x| <= radius.
ExpPolynomial chebyshev(double radius, int degree);

/// Taylor_{2q-1}(x) + x^(2q) p(x): |P(x) - exp(x)| <= error x^(2q) + absolute_slack for |x| <= radius; q = 0 is
/// `chebyshev`. Needs 2q <= degree.
ExpPolynomial moment_matched(double radius, int degree, int q);

/// `moment_matched` of one radius and q at many degrees, whose series is computed once.
class ExpSeries {
 public:
  ExpSeries(double radius, int q, int highest_degree);
  /// Needs 2q <= degree <= highest_degree.
  [[nodiscard]] ExpPolynomial truncated(int degree) const;
  /// The error of that polynomial with exact coefficients: a little below truncated(degree).error, and much cheaper.
  [[nodiscard]] double truncation_error(int degree) const;

 private:
  double radius_;
  int q_;
  int highest_degree_;
  ChebyshevSeries series_;
};

/// The truncated Chebyshev series of lowest degree with error <= tolerance (relative: tolerance exp(-radius)). Throws
/// Error (not_reachable) where none up to kMaxDegree has it, as when the rounding of the coefficients alone exceeds it.
ExpPolynomial lowest_degree(double radius, double tolerance, bool relative);

/// delta(R, g) = 2 sum_{k>g} I_k(R) for g = 0 .. max_degree, rounded up: the error of the truncated Chebyshev series
/// with exact coefficients.
std::vector<double> chebyshev_errors(double radius, int max_degree);

}  // namespace polyattn::numerics
