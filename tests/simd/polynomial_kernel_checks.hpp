#pragma once

/// What the tests of the polynomial engine's kernels share.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace polyattn::test {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

inline std::size_t at(std::ptrdiff_t i) { return static_cast<std::size_t>(i); }

/// Equal bits; two NaNs count as equal whatever their sign and payload.
template <class T>
testing::AssertionResult same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool same = std::bit_cast<Bits>(a[i]) == std::bit_cast<Bits>(b[i]) || (std::isnan(a[i]) && std::isnan(b[i]));
    if (!same) {
      return testing::AssertionFailure() << "element " << i << ": " << a[i] << " and " << b[i];
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace polyattn::test
