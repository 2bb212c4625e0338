#pragma once

/// Sizes are multiplied only after it is known that the product fits.

#include "base/error.hpp"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>

namespace polyattn::base {

/// a * b for non-negative numbers; throws invalid_argument, naming `what`, if it does not fit 63 bits.
inline std::int64_t checked_mul(std::int64_t a, std::int64_t b, const char* what) {
  std::int64_t product = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product)) {
    fail(ErrorCode::invalid_argument, what, "a size that fits 63 bits", std::to_string(a) + " x " + std::to_string(b));
  }
  return product;
}

inline std::int64_t checked_product(std::initializer_list<std::int64_t> factors, const char* what) {
  std::int64_t product = 1;
  for (const std::int64_t factor : factors) {
    product = checked_mul(product, factor, what);
  }
  return product;
}

constexpr std::int64_t round_up_to(std::int64_t value, std::int64_t multiple) noexcept {
  return (value + multiple - 1) / multiple * multiple;
}
constexpr std::int64_t blocks_of(std::int64_t value, std::int64_t block) noexcept {
  return (value + block - 1) / block;
}
inline std::size_t usize(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

}  // namespace polyattn::base
