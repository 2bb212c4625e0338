#pragma once

// Lagrange polynomials of Chebyshev nodes, with Lebesgue constants and rounding bounds. Proofs:
// docs/proofs/grid-axis.md, sections 1 and 2. Everything is for 1 <= p <= kMaxNodes.

#include <span>
#include <vector>

namespace polyattn::numerics {

inline constexpr int kMaxNodes = 64;

/// cos(m pi / (2 p)), any m >= 0, p >= 1; within kCosineError units of roundoff of long double, absolutely. Exact where
/// it is 0, 1 or -1, and odd about the zeros.
long double chebyshev_cosine(int m, int p) noexcept;
inline constexpr double kCosineError = 3.0;

/// The zeros of T_p on [-1, 1] in *increasing* order, x_i = -cos((2i + 1) pi / (2p)); x_i = -x_{p-1-i} exactly. Each is
/// within kCoefficientError u of the exact zero, u = 2^-53.
std::vector<double> chebyshev_nodes(int p);

/// Lambda_p = max over [-1, 1] of sum_J |l_J| = (1/p) sum_i cot((2i - 1) pi / (4p)), rounded up.
double lebesgue_constant(int p) noexcept;

/// The p x p matrix C, [k p + J], of l_J(x) = sum_k C_kJ T_k(x), l_J being 1 at node J and 0 at the others:
/// C_kJ = (2/p) T_k(x_J), half of that for k = 0. Each element is within kCoefficientError u (2/p) of the exact one.
std::vector<double> lagrange_coefficients(int p);
/// long double is at least as wide as float64; where it is wider, one rounding is all that counts.
inline constexpr double kCoefficientError = sizeof(long double) > sizeof(double) ? 1.01 : 4.0;

/// l_0(x) .. l_{p-1}(x) for |x| <= 1 as the kernels compute them; p = values.size():
///
///     T_0 = 1, T_1 = x, T_{k+1} = fma(2x, T_k, -T_{k-1});   l_J = C_0J, then l_J = fma(C_kJ, T_k, l_J), k = 1 .. p-1.
void lagrange_values(std::span<const double> coefficients, double x, std::span<double> values) noexcept;

/// |computed T_k(x) - T_k(x)| <= chebyshev_rounding(p) u for every k < p and |x| <= 1, computed as above.
double chebyshev_rounding(int p) noexcept;
/// |computed l_J(x) - l_J(x)| <= lagrange_rounding(p) u for every J and |x| <= 1, in that arithmetic with unit roundoff
/// u <= 2^-24, the coefficients having been rounded to it.
double lagrange_rounding(int p) noexcept;
/// sum_J |computed l_J(x) - l_J(x)| <= lagrange_rounding_sum(p) u, sharper than p times the above.
double lagrange_rounding_sum(int p) noexcept;

/// Bounds of |l_J'| and of sum_J |l_J'| on [-1, 1]: (p - 1)(2p - 1)/3 and (p - 1)^2 Lambda_p. A rounding of x by delta
/// moves l_J by at most delta times this.
double lagrange_slope(int p) noexcept;
double lagrange_slope_sum(int p) noexcept;

}  // namespace polyattn::numerics
