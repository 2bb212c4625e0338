#pragma once

// P(x) - exp(x) in binary128, for polynomials with double coefficients.

#include "polyattn/polynomial.hpp"
#include "support/quad.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace polyattn::test {

inline Quad power(double x, int n) {
  Quad result = 1;
  for (int i = 0; i < n; ++i) result *= static_cast<Quad>(x);
  return result;
}

struct Difference {
  Quad value;     ///< |P(x) - exp(x)|
  Quad rounding;  ///< how far `value` may be from the truth
};

/// Sums (c_t - 1/t!) x^t and subtracts the Taylor terms beyond the degree: near x = 0 the rounding shrinks with the
/// difference itself, and no exp is needed.
class PolynomialOracle {
 public:
  PolynomialOracle() {
    Quad term = 1;
    for (int t = 0; t <= kTerms; ++t) {
      inverse_factorial_.push_back(term);
      term /= t + 1;
    }
  }

  [[nodiscard]] Difference difference(const ExpPolynomial& polynomial, double x) const {
    const Quad size = x < 0 ? -static_cast<Quad>(x) : static_cast<Quad>(x);
    const std::size_t terms =
        std::max(polynomial.coefficients.size(), static_cast<std::size_t>(4.0 * std::fabs(x))) + 60;
    Quad sum = 0;
    Quad majorant = 0;
    for (std::size_t t = terms; t-- > 0;) {
      const Quad c = t < polynomial.coefficients.size() ? static_cast<Quad>(polynomial.coefficients[t]) : Quad(0);
      const Quad d = c - inverse_factorial_[t];
      sum = sum * static_cast<Quad>(x) + d;
      // 1, 1 and 1/2 are exact, and so is their difference with an equal coefficient.
      majorant = majorant * size + (t < 3 && d == 0 ? Quad(0) : (c < 0 ? -c : c) + inverse_factorial_[t]);
    }
    // Horner's rule has at most two roundings a term on any path; what is left out is a geometric series of ratio below
    // 1/4.
    const Quad left_out = 2 * power(std::fabs(x), static_cast<int>(terms)) * inverse_factorial_[terms];
    return {sum < 0 ? -sum : sum, majorant * static_cast<int>(2 * terms + 8) * static_cast<Quad>(0x1p-112) + left_out};
  }

 private:
  static constexpr int kTerms = 1700;
  std::vector<Quad> inverse_factorial_;
};

}  // namespace polyattn::test
