// The lane type as specified. The other instruction sets are compared with it through the kernels.

#include "simd/lanes_scalar.hpp"

#include "support/random.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <numeric>

namespace polyattn::test {
namespace {

namespace lanes = simd::scalar;
using lanes::F32;
using lanes::F64;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(Lanes, SumAddsInItsFixedOrder) {
  // Large terms that cancel show the order: any other one gives another result.
  Random random(1);
  for (int trial = 0; trial < 100; ++trial) {
    std::array<double, 8> a{};
    std::array<float, 16> b{};
    for (double& x : a) {
      x = random.sign() * random.log_uniform(1e-8, 1e8);
    }
    for (float& x : b) {
      x = static_cast<float>(random.sign() * random.log_uniform(1e-8, 1e8));
    }
    const double expected = ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
    EXPECT_EQ(lanes::sum(F64::load(a.data())), expected);
    for (std::size_t i = 0; i < 8; ++i) {
      a[i] = static_cast<double>(b[i]) + static_cast<double>(b[i + 8]);
    }
    EXPECT_EQ(lanes::sum(F32::load(b.data())), ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7])));
  }
}

TEST(Lanes, SumsOfManyAddHalvesInFloat32) {
  Random random(2);
  std::array<std::array<float, 16>, 16> rows{};
  F32 vectors[16];
  for (std::size_t r = 0; r < 16; ++r) {
    for (float& x : rows[r]) {
      x = static_cast<float>(random.sign() * random.log_uniform(1e-8, 1e8));
    }
    vectors[r] = F32::load(rows[r].data());
  }
  std::array<double, 16> found{};
  lanes::sums(vectors, found.data());
  for (std::size_t r = 0; r < 16; ++r) {
    const auto& a = rows[r];
    const float even = ((a[0] + a[8]) + (a[4] + a[12])) + ((a[2] + a[10]) + (a[6] + a[14]));
    const float odd = ((a[1] + a[9]) + (a[5] + a[13])) + ((a[3] + a[11]) + (a[7] + a[15]));
    EXPECT_EQ(found[r], static_cast<double>(even + odd)) << r;
  }
}

TEST(Lanes, TransposeAndPackedRowsChangePlaces) {
  std::array<double, 64> numbers{};
  std::iota(numbers.begin(), numbers.end(), 0.0);
  lanes::F64 square[8];
  for (std::size_t i = 0; i < 8; ++i) {
    square[i] = lanes::F64::load(numbers.data() + 8 * i);
  }
  lanes::transpose(square);
  lanes::F64 columns[3];
  lanes::load_packed<3>(numbers.data(), columns);
  for (std::size_t i = 0; i < 8; ++i) {
    for (std::size_t j = 0; j < 8; ++j) {
      EXPECT_EQ(square[i].v[j], static_cast<double>(8 * j + i));
    }
    for (std::size_t c = 0; c < 3; ++c) {
      EXPECT_EQ(columns[c].v[i], static_cast<double>(3 * i + c));
    }
  }
}

TEST(Lanes, FusedMultiplyAddRoundsOnce) {
  const double e = 0x1p-30;
  const F64 square = lanes::fma(F64::set(1.0 + e), F64::set(1.0 + e), F64::set(-1.0 - 2.0 * e));
  EXPECT_EQ(square.v[3], e * e);
  const F64 negated = lanes::fnma(F64::set(1.0 + e), F64::set(1.0 + e), F64::set(1.0 + 2.0 * e));
  EXPECT_EQ(negated.v[3], -e * e);
  const float f = 0x1p-13F;
  EXPECT_EQ(lanes::fma(F32::set(1.0F + f), F32::set(1.0F + f), F32::set(-1.0F - 2.0F * f)).v[15], f * f);
}

TEST(Lanes, MaximumAndMinimumTakeTheSecondOperandForNan) {
  EXPECT_EQ(lanes::max(F32::set(kNan), F32::set(1.0F)).v[0], 1.0F);
  EXPECT_TRUE(std::isnan(lanes::max(F32::set(1.0F), F32::set(kNan)).v[0]));
  EXPECT_EQ(lanes::min(F32::set(kNan), F32::set(1.0F)).v[0], 1.0F);
  EXPECT_TRUE(std::isnan(lanes::min(F32::set(1.0F), F32::set(kNan)).v[0]));
  EXPECT_TRUE(std::signbit(lanes::max(F32::set(0.0F), F32::set(-0.0F)).v[0])) << "equal: the second";
}

TEST(Lanes, SelectLessTakesTheLastForNan) {
  const auto pick = [](float a, float b) {
    return lanes::select_less(F32::set(a), F32::set(b), F32::set(1.0F), F32::set(2.0F)).v[7];
  };
  EXPECT_EQ(pick(0.0F, 1.0F), 1.0F);
  EXPECT_EQ(pick(1.0F, 1.0F), 2.0F);
  EXPECT_EQ(pick(kNan, 1.0F), 2.0F);
  EXPECT_EQ(pick(1.0F, kNan), 2.0F);
}

TEST(Lanes, RoundingToWholeNumbers) {
  EXPECT_EQ(lanes::round_even(F64::set(2.5)).v[0], 2.0);
  EXPECT_EQ(lanes::round_even(F64::set(3.5)).v[0], 4.0);
  EXPECT_EQ(lanes::round_even(F64::set(-2.5)).v[0], -2.0);
  EXPECT_EQ(lanes::ceil(F32::set(1.25F)).v[0], 2.0F);
  EXPECT_EQ(lanes::ceil(F32::set(-1.25F)).v[0], -1.0F);
}

TEST(Lanes, PowersOfTwoOverTheWholeNormalRange) {
  for (int n = -126; n <= 127; ++n) {
    ASSERT_EQ(lanes::power_of_two(F32::set(static_cast<float>(n))).v[1], std::ldexp(1.0F, n));
  }
  for (int n = -1022; n <= 1023; ++n) {
    ASSERT_EQ(lanes::power_of_two(F64::set(n)).v[1], std::ldexp(1.0, n));
  }
}

TEST(Lanes, ShiftExponentMultipliesByAPowerOfTwoOrFlushes) {
  for (int n = -100; n <= 0; ++n) {
    const float z = lanes::kRounder32 + static_cast<float>(n);
    const auto whole = static_cast<float>(n);
    const auto shift = [&](float least) {
      return lanes::shift_exponent(F32::set(1.25F), F32::set(z), F32::set(whole), F32::set(least)).v[2];
    };
    ASSERT_EQ(shift(-100.0F), std::ldexp(1.25F, n));
    ASSERT_EQ(shift(whole + 1.0F), 0.0F);
    const double wide = lanes::kRounder64 + 10.0 * n;
    ASSERT_EQ(lanes::shift_exponent(F64::set(1.25), F64::set(wide), F64::set(10.0 * n), F64::set(-1000.0)).v[2],
              std::ldexp(1.25, 10 * n));
  }
}

TEST(Lanes, WideningKeepsThePlaces) {
  std::array<float, 16> a{};
  for (std::size_t i = 0; i < a.size(); ++i) {
    a[i] = static_cast<float>(i) + 0.5F;
  }
  const F64 low = lanes::widen_low(F32::load(a.data()));
  const F64 high = lanes::widen_high(F32::load(a.data()));
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(low.v[i], i + 0.5);
    EXPECT_EQ(high.v[i], i + 8.5);
  }
}

}  // namespace
}  // namespace polyattn::test
