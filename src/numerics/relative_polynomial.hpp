#pragma once

// Polynomials whose error relative to exp is small, for intervals of scores: see relative_polynomial.cpp.

#include <vector>

namespace polyattn::numerics {

inline constexpr double kMaxRelativeRadius = 24.0;  ///< far beyond what float64 coefficients can serve (about 18)
inline constexpr int kMaxRelativeDegree = 64;

/// P(s) = sum_t coefficients[t] (s / radius)^t with |P(s) - exp(s - middle)| <= error exp(s - middle) for |s - middle|
/// <= radius, the coefficients and `radius` taken as exact numbers.
struct RelativePolynomial {
  double middle = 0.0;
  double radius = 0.0;
  int degree = 0;
  double error = 0.0;
  std::vector<double> coefficients;

  /// sum_t |coefficients[t]| (a / radius)^t for a >= 0, rounded up: bounds what P is made of where sum_l |terms of s|
  /// is a.
  [[nodiscard]] double absolute_sum(double a) const noexcept;
};

/// The polynomial of this degree for an interval that holds 0. Needs low <= 0 <= high, a radius (high - low)/2 of at
/// most kMaxRelativeRadius and a degree in [0, kMaxRelativeDegree]; rounding to nearest. `error` may be anything: it is
/// about 2 J_{degree+1}(radius) plus the rounding of the coefficients, 2^-53 exp(2 radius). Cost: some (degree + 64)^2
/// operations on pairs of doubles.
RelativePolynomial relative_polynomial(double low, double high, int degree);

}  // namespace polyattn::numerics
