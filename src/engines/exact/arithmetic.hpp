#pragma once

/// What the bounds of the exact engines need to know about float32 and float64. Section numbers are those of
/// docs/proofs/exact-engine.md.

#include "base/checked.hpp"
#include "numerics/rounding.hpp"
#include "simd/exact_kernels.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>

namespace polyattn::engines {

template <class T>
struct ExactArithmetic;
template <>
struct ExactArithmetic<float> {
  static constexpr double unit = numerics::kU32;
  static constexpr double tiny = 0x1p-149;  // spacing of subnormal numbers
  static constexpr double normal = 0x1p-126;
  static constexpr double near_bits = 40;  // section 2: keys below 2^-X of the largest weight, X = 40 + log2 n, are far
  static constexpr double conversions = 2;      // section 3: rounding q times its factor to T
  static constexpr double gaussian_factor = 3;  // section 3: twice the error of sqrt(log2(e)/2)/H rounded to T
  static constexpr double whole = 0x1p22;       // whole numbers of this size and their differences are exact
  static constexpr double overflow = 0x1p125;
  static constexpr double exp2_error = simd::kExp2MaxRelF32;
  static constexpr double soft_cap = simd::kSoftCapMaxRelF32;
  static constexpr bool wide = false;
};
template <>
struct ExactArithmetic<double> {
  static constexpr double unit = numerics::kU64;
  static constexpr double tiny = 0x1p-1074;
  static constexpr double normal = 0x1p-1022;
  static constexpr double near_bits = 90;
  static constexpr double conversions = 4;
  static constexpr double gaussian_factor = 10;
  static constexpr double whole = 0x1p51;
  static constexpr double overflow = 0x1p1021;
  static constexpr double exp2_error = simd::kExp2MaxRelF64;
  static constexpr double soft_cap = simd::kSoftCapMaxRelF64;
  static constexpr bool wide = true;
};

/// A whole number in [log2 n, log2 n + 1].
inline double log2_above(std::int64_t n) { return static_cast<double>(std::bit_width(static_cast<std::uint64_t>(n))); }

/// Most roundings a term of a raw score meets: chains of kChain terms, added one after the other.
inline double chain_length(std::int64_t dim) {
  const std::int64_t chains = std::max<std::int64_t>(1, base::blocks_of(dim, simd::kChain));
  return static_cast<double>(std::min<std::int64_t>(dim, simd::kChain) + chains - 1);
}

}  // namespace polyattn::engines
