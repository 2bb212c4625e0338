#pragma once

/// How far a polynomial with rational coefficients is from exp on [-R, R], enclosed with proof.

#include <string>
#include <vector>

namespace polyattn::lab {

/// A number known to lie in [low, high].
struct Enclosure {
  double low = 0.0;
  double high = 0.0;
};

enum class ErrorKind {
  absolute,  ///< max |P(x) - exp(x)|
  relative,  ///< max |P(x)/exp(x) - 1|
};

/// The maximum over [-R, R] for P(x) = sum_t coefficients[t] x^t, coefficients as "p" or "p/q" in decimal digits.
///
/// By subdivision: on |x - m| <= h let e_j be the Taylor coefficients of P - exp at m, computed with Arb in as many
/// bits as cancel and 128 more. Then |P(x) - exp(x)| <= max |e_0 +- e_1 h| + sum_{2 <= j <= N} |e_j| h^j + tail, the
/// tail that of exp beyond N >= degree, e^m h^(N+1)/(N+1)! / (1 - h/(N+2)). Pieces whose bound exceeds the largest
/// value seen by more than one part in 2^10 are halved, the worst first; values at middles and at both ends bound the
/// maximum from below. Relative errors: times exp(-(m - h)). Cost: some hundred pieces of degree^2 multiplications.
/// Throws Error (invalid_argument) for a radius outside [0, 300], no coefficients or more than 1001, or text that is no
/// rational number.
Enclosure enclose_error(const std::vector<std::string>& coefficients, double radius, ErrorKind kind);

}  // namespace polyattn::lab
