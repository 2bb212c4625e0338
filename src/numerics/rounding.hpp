#pragma once

// Constants and helpers of rounding error analysis. An upper bound computed here stays an upper bound in every rounding
// mode: each factor below is proved for a relative error of at most 2U = 2^-52 an operation, which holds to nearest (U)
// and directed (2U) alike.

#include <cmath>
#include <cstdint>
#include <limits>

namespace polyattn::numerics {

/// Unit roundoffs of float32 and float64: |fl(x) - x| <= u |x| away from underflow, rounding to nearest.
inline constexpr double kU32 = 0x1p-24;
inline constexpr double kU64 = 0x1p-53;

/// At least x / (1 - 2U)^operations, for x >= 0 and operations <= 2^40: an upper bound of a non-negative quantity that
/// was computed as x without subtraction, no chain from input to result having more than `operations` roundings and
/// none of them underflowing.
///
/// Proof: f = 1 + (k + 2) 4U is a double (a multiple of 2^-51 below 2), and fl(x f) >= x (1 + 4(k + 2)U)(1 - 2U) >=
/// x (1 + 4kU + 5U). With t = 2kU <= 2^-12: (1 - 2U)^-k <= exp(1.01 t) <= 1 + 1.02 t < 1 + 4kU.
constexpr double inflate(double x, std::int64_t operations) noexcept {
  return x * (1.0 + static_cast<double>(operations + 2) * 0x1p-51);
}

/// The next double above x: an upper bound of the exact result of one operation that was rounded to x, in any mode.
inline double round_up(double x) noexcept { return std::nextafter(x, std::numeric_limits<double>::infinity()); }

/// An upper bound of a b for upper bounds a, b >= 0 that further factors will multiply: at least 2^-900 unless a factor
/// is 0, so that no factor that comes later brings back what underflow would have lost. Rounded like a product.
constexpr double product_above(double a, double b) noexcept {
  if (a == 0.0 || b == 0.0) return 0.0;
  const double product = a * b;
  return product < 0x1p-900 ? 0x1p-900 : product;  // a NaN stays one
}

/// gamma_k = k u / (1 - k u), rounded up; infinite where k u >= 1 (no bound). For u = kU32 or kU64 and whole k >= 0.
///
/// k u is exact (u is a power of two) and so is 1 - k u (a multiple of u in (0, 1]): the division is the one rounding.
/// A k above 2^53 gives infinity whichever u is meant.
constexpr double gamma(double k, double u) noexcept {
  const double product = k * u;
  if (!(product < 1.0)) return std::numeric_limits<double>::infinity();
  return inflate(product / (1.0 - product), 1);
}
constexpr double gamma(std::int64_t k, double u) noexcept { return gamma(static_cast<double>(k), u); }
constexpr double gamma(int k, double u) noexcept { return gamma(static_cast<double>(k), u); }

/// tanh(zeta / 2), rounded up: score perturbations of at most zeta move a softmax average by at most this times the
/// range of the values. 1 for a zeta that is infinite, NaN or negative (no bound is known).
///
/// tanh y <= min(y, 1) for y >= 0 needs no library. Where std::tanh is used, its error is taken as at most 64 ulp (libm
/// implementations claim 1 to 3).
inline double perturbation(double zeta) noexcept {
  if (!(zeta >= 0.0)) return 1.0;
  if (zeta < 0x1p-26) return zeta < 0x1p-1000 ? zeta : 0.5 * zeta;  // halving is exact away from subnormal numbers
  if (zeta > 40.0) return 1.0;
  const double bound = std::tanh(0.5 * zeta) * (1.0 + 0x1p-46);
  return bound < 1.0 ? bound : 1.0;
}

}  // namespace polyattn::numerics
