#pragma once

// Chebyshev polynomials and the Lagrange polynomials of their zeros, with Lebesgue constants and rounding bounds.
// Proofs: docs/proofs/grid-axis.md, sections 1 and 2. Everything is for 1 <= p <= 1024. What is long double is computed
// in the rounding mode at hand: callers set that to nearest (base/nearest_long_double.hpp).

#include <vector>

namespace polyattn::numerics {

/// cos(m pi / (2 p)), any m >= 0, p >= 1; within kCosineError units of roundoff of long double, absolutely. Exact where
/// it is 0, 1 or -1, and odd about the zeros.
long double chebyshev_cosine(int m, int p) noexcept;
inline constexpr double kCosineError = 3.0;

/// The zeros of T_p on [-1, 1] in *increasing* order, x_J = -cos((2J + 1) pi / (2p)), as chebyshev_cosine has them;
/// x_J = -x_{p-1-J} exactly.
std::vector<long double> chebyshev_nodes(int p);

/// The p x p matrix C, [k p + J], of l_J(x) = sum_k C_kJ T_k(x), l_J being 1 at node J and 0 at the others:
/// C_kJ = (2/p) T_k(x_J), half of that for k = 0. Each element is within (kCosineError + 1) (2/p) units of roundoff of
/// long double.
std::vector<long double> lagrange_coefficients(int p);

/// Lambda_p = max over [-1, 1] of sum_J |l_J| = (1/p) sum_i cot((2i - 1) pi / (4p)), rounded up.
double lebesgue_constant(int p) noexcept;

/// |computed T_k(x) - T_k(x)| <= chebyshev_rounding(p) 2^-53 for every k < p and |x| <= 1, computed in float64 by
///
///     T_0 = 1, T_1 = x, T_{k+1} = fma(2x, T_k, -T_{k-1}).
double chebyshev_rounding(int p) noexcept;

}  // namespace polyattn::numerics
