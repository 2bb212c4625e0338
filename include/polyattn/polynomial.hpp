#pragma once

/// The approximation the polynomial engine rests on, for those who want to look at it alone.

#include "polyattn/export.hpp"

#include <cstdint>
#include <vector>

namespace polyattn {

/// A polynomial sum_t coefficients[t] x^t close to exp on [-radius, radius].
struct ExpPolynomial {
  double radius = 0.0;
  int degree = 0;
  /// Moment order q: |P(x) - exp(x)| <= error * x^(2q) + absolute_slack for |x| <= radius, the coefficients taken as
  /// exact numbers. q = 0 is the truncated Chebyshev series, error absolute.
  int moment = 0;
  double error = 0.0;  ///< proved upper bound, rounding of the coefficients from 2q on included
  double absolute_slack =
      0.0;  ///< the rounding of the Taylor coefficients below 2q: 0 for q <= 1, about 1e-17 R^3 beyond
  std::vector<double> coefficients;
  double absolute_sum = 0.0;  ///< sum_t |coefficients[t]| radius^t, rounded up
};

/// The truncated Chebyshev series (moment = 0) or the moment-matched polynomial Taylor_{2q-1} + x^(2q) p(x) of degree
/// `degree` >= 2*moment. Throws Error (invalid_argument) for a radius that is negative, not finite or above 300, or a
/// degree outside [0, 400].
POLYATTN_EXPORT ExpPolynomial exp_polynomial(double radius, int degree, int moment = 0);

/// The truncated Chebyshev series of lowest degree whose absolute error on [-radius, radius] is at most `tolerance`;
/// with `relative`, whose error relative to exp(x) is (absolute error at most tolerance * exp(-radius)).
POLYATTN_EXPORT ExpPolynomial exp_polynomial_for(double radius, double tolerance, bool relative = false);

/// C(dim + degree, degree), the number of features; -1 if it does not fit 63 bits.
POLYATTN_EXPORT std::int64_t feature_rank(std::int64_t dim, int degree) noexcept;

/// The rank of [AS23] Lemma 3.2, C(2(degree + dim), 2 degree), and for order k that of [AS24] Lemma E.1, C(k(degree +
/// dim), k degree), where `feature_rank` is the same for every order. -1 if it does not fit 63 bits.
POLYATTN_EXPORT std::int64_t papers_rank(std::int64_t dim, int degree, int order = 2) noexcept;

}  // namespace polyattn
