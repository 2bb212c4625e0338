// The lanes of 64-bit ARM against the specification, operation by operation. Those of x86 need compiler options that a
// test cannot have, and are compared through the kernels.

#if defined(__aarch64__)

#include "simd/lanes_neon.hpp"

#include "simd/lanes_scalar.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace polyattn::test {
namespace {

namespace neon = simd::neon;
namespace scalar = simd::scalar;

template <class T>
struct Types;
template <>
struct Types<float> {
  using Neon = neon::F32;
  using Scalar = scalar::F32;
  using Bits = std::uint32_t;
};
template <>
struct Types<double> {
  using Neon = neon::F64;
  using Scalar = scalar::F64;
  using Bits = std::uint64_t;
};

template <class T>
constexpr std::size_t kWidth = static_cast<std::size_t>(Types<T>::Scalar::width);
template <class T>
using Values = std::array<T, kWidth<T>>;

template <class Lanes>
auto values_of(const Lanes& lanes) {
  Values<typename Lanes::Scalar> out;
  lanes.store(out.data());
  return out;
}

/// Equal bits lane by lane; all NaNs count as one.
template <class T>
testing::AssertionResult same(const Values<T>& a, const Values<T>& b) {
  using Bits = typename Types<T>::Bits;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<Bits>(a[i]) != std::bit_cast<Bits>(b[i]) && !(std::isnan(a[i]) && std::isnan(b[i]))) {
      return testing::AssertionFailure() << "lane " << i << ": " << a[i] << " and " << b[i];
    }
  }
  return testing::AssertionSuccess();
}

/// Ordinary numbers, and every kind that is not.
template <class T>
std::vector<T> numbers() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> all = {T(0),
                        T(-0.0),
                        T(1),
                        T(-1.5),
                        T(2.5),
                        T(-0.25),
                        Limits::min(),
                        Limits::denorm_min(),
                        -Limits::denorm_min(),
                        Limits::max(),
                        Limits::lowest(),
                        Limits::infinity(),
                        -Limits::infinity(),
                        Limits::quiet_NaN()};
  Random random(1);
  for (int i = 0; i < 19; ++i) {
    all.push_back(static_cast<T>(random.sign() * random.log_uniform(1e-20, 1e20)));
  }
  return all;
}

/// Different numbers in every lane, all of `numbers` in each lane as `start` moves on.
template <class T>
Values<T> window(const std::vector<T>& from, std::size_t start) {
  Values<T> out;
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = from[(start + i) % from.size()];
  }
  return out;
}

template <class T>
class LanesNeon : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(LanesNeon, Arithmetics);

/// `op` of the numbers in both kinds of lanes, for every pair that meets in a lane.
template <class T, class Op>
void expect_same(const char* name, const Op& op) {
  using Neon = typename Types<T>::Neon;
  using Scalar = typename Types<T>::Scalar;
  const std::vector<T> all = numbers<T>();
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < all.size(); ++j) {
      const Values<T> a = window(all, i);
      const Values<T> b = window(all, j);
      const Values<T> c = window(all, i + 3 * j);
      ASSERT_TRUE(same<T>(values_of(op(Neon::load(a.data()), Neon::load(b.data()), Neon::load(c.data()))),
                          values_of(op(Scalar::load(a.data()), Scalar::load(b.data()), Scalar::load(c.data())))))
          << name << " from " << i << ", " << j;
    }
  }
}

TYPED_TEST(LanesNeon, Arithmetic) {
  using T = TypeParam;
  expect_same<T>("+", [](auto a, auto b, auto) { return a + b; });
  expect_same<T>("-", [](auto a, auto b, auto) { return a - b; });
  expect_same<T>("*", [](auto a, auto b, auto) { return a * b; });
  expect_same<T>("/", [](auto a, auto b, auto) { return a / b; });
  expect_same<T>("fma", [](auto a, auto b, auto c) { return fma(a, b, c); });
  expect_same<T>("fnma", [](auto a, auto b, auto c) { return fnma(a, b, c); });
}

TYPED_TEST(LanesNeon, Choices) {
  using T = TypeParam;
  expect_same<T>("max", [](auto a, auto b, auto) { return max(a, b); });
  expect_same<T>("min", [](auto a, auto b, auto) { return min(a, b); });
  expect_same<T>("select_less", [](auto a, auto b, auto c) { return select_less(a, b, c, a); });
}

TYPED_TEST(LanesNeon, OneOperand) {
  using T = TypeParam;
  expect_same<T>("abs", [](auto a, auto, auto) { return abs(a); });
  expect_same<T>("round_even", [](auto a, auto, auto) { return round_even(a); });
  expect_same<T>("ceil", [](auto a, auto, auto) { return ceil(a); });
  expect_same<double>("sqrt", [](auto a, auto, auto) { return sqrt(a); });
}

TYPED_TEST(LanesNeon, Powers) {
  using T = TypeParam;
  using Neon = typename Types<T>::Neon;
  using Scalar = typename Types<T>::Scalar;
  constexpr T least = std::numeric_limits<T>::min_exponent - 1;
  constexpr T most = std::numeric_limits<T>::max_exponent - 1;
  constexpr T rounder = std::is_same_v<T, float> ? T(neon::kRounder32) : T(neon::kRounder64);
  for (T n = least; n <= most; ++n) {
    ASSERT_TRUE(same<T>(values_of(power_of_two(Neon::set(n))), values_of(power_of_two(Scalar::set(n))))) << n;
    for (const T bound : {n, n + 1, std::numeric_limits<T>::quiet_NaN()}) {
      const auto shift = [&](auto one) {
        using Lanes = decltype(one);
        return values_of(shift_exponent(one, Lanes::set(rounder + n), Lanes::set(n), Lanes::set(bound)));
      };
      ASSERT_TRUE(same<T>(shift(Neon::set(T(1.25))), shift(Scalar::set(T(1.25))))) << n << " " << bound;
    }
  }
}

TEST(LanesNeonOfDoubles, TransposeAndPackedRows) {
  std::array<double, 64> numbers{};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = static_cast<double>(i);
  }
  neon::F64 square[8];
  scalar::F64 expected[8];
  for (std::size_t i = 0; i < 8; ++i) {
    square[i] = neon::F64::load(numbers.data() + 8 * i);
    expected[i] = scalar::F64::load(numbers.data() + 8 * i);
  }
  transpose(square);
  transpose(expected);
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_TRUE(same<double>(values_of(square[i]), values_of(expected[i])));
  }
  neon::F64 columns[5];
  scalar::F64 wanted[5];
  neon::load_packed<5>(numbers.data(), columns);
  scalar::load_packed<5>(numbers.data(), wanted);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_TRUE(same<double>(values_of(columns[i]), values_of(wanted[i])));
  }
}

TYPED_TEST(LanesNeon, ColumnsAndSums) {
  using T = TypeParam;
  using Neon = typename Types<T>::Neon;
  using Scalar = typename Types<T>::Scalar;
  Random random(2);
  for (const std::ptrdiff_t stride : {4, 7}) {
    std::vector<T> rows(kWidth<T> * static_cast<std::size_t>(stride));
    for (T& x : rows) {
      x = static_cast<T>(random.sign() * random.log_uniform(1e-8, 1e8));
    }
    Neon columns[16 / sizeof(T)];
    Scalar expected[16 / sizeof(T)];
    load_columns(rows.data(), stride, columns);
    load_columns(rows.data(), stride, expected);
    for (std::size_t c = 0; c < 16 / sizeof(T); ++c) {
      EXPECT_TRUE(same<T>(values_of(columns[c]), values_of(expected[c]))) << c;
      EXPECT_EQ(sum(columns[c]), sum(expected[c])) << c;
      EXPECT_TRUE(same<double>(values_of(widen_low(columns[c])), values_of(widen_low(expected[c])))) << c;
      if constexpr (std::is_same_v<T, float>) {
        EXPECT_TRUE(same<double>(values_of(widen_high(columns[c])), values_of(widen_high(expected[c])))) << c;
      }
    }
  }
}

}  // namespace
}  // namespace polyattn::test

#endif
