#pragma once

/// Polynomials close to exp with rational coefficients: [AS23] Lemma 2.1 taken at its word, "coefficients are rational
/// numbers with poly(g)-bit integer numerators and denominators".

#include "lab/exponential/enclosure.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace polyattn::lab {

/// P(x) = sum_t coefficients[t] x^t on [-radius, radius].
struct RationalPolynomial {
  double radius = 0.0;
  int degree = 0;
  std::vector<std::string> coefficients;  ///< "p/q" in lowest terms, "p" where q = 1
  std::int64_t bits = 0;                  ///< of the longest numerator or denominator
  Enclosure absolute;                     ///< max |P - exp|
  Enclosure relative;                     ///< max |P/exp - 1|
};

/// The truncated Chebyshev series of this degree, every coefficient replaced by the simplest rational number (the one
/// of least denominator) so near that all of them together add at most a 64th of the series' error. Throws Error
/// (invalid_argument) unless 0 <= radius <= 300, 0 <= degree <= 400. Time: well under a second up to degree 100.
RationalPolynomial rational_exp_polynomial(double radius, int degree);

/// The one of lowest degree whose series has error at most 0.98 tolerance, coefficients so near that the tolerance is
/// met: absolute on [-radius, radius], or with `relative` absolute at most tolerance exp(-radius), so that it holds
/// relative to exp(x). tolerance > 0. Throws as above, and if the degree would be above 400.
RationalPolynomial rational_exp_polynomial_for(double radius, double tolerance, bool relative);

}  // namespace polyattn::lab
