#include "simd/exp2_constants.hpp"

#include "support/quad.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <limits>

namespace polyattn::test {
namespace {

template <class T, std::size_t N>
T horner(const T (&coefficients)[N], T r) {
  T h = coefficients[N - 1];
  for (std::size_t k = N - 1; k-- > 0;) h = std::fma(h, r, coefficients[k]);
  return h;
}

// ln 2 to 2^-160 in three doubles; exp_of is good to about 2^-112.
Quad exp2_of(double r) {
  const Quad ln2 = static_cast<Quad>(0x1.62e42fefa39efp-1) + static_cast<Quad>(0x1.abc9e3b39803fp-56) +
                   static_cast<Quad>(0x1.7b57a079a1934p-111);
  return exp_of(static_cast<Quad>(r) * ln2);
}

double relative_error(double computed, double r) {
  const Quad exact = exp2_of(r);
  const Quad difference = (static_cast<Quad>(computed) - exact) / exact;
  return static_cast<double>(difference < 0 ? -difference : difference);
}

TEST(Exp2Constants, StartAtOne) {
  EXPECT_EQ(simd::kExp2F32[0], 1.0F);
  EXPECT_EQ(simd::kExp2F64[0], 1.0);
  EXPECT_EQ(horner(simd::kExp2F32, 0.0F), 1.0F);
  EXPECT_EQ(horner(simd::kExp2F64, 0.0), 1.0);
}

// A sweep with a prime stride over the bit patterns of [-1/2, 1/2], and the points where a search over all of them
// found the largest error.
TEST(Exp2Constants, Float32StaysWithinItsBound) {
  double worst = 0.0;
  const auto look = [&](float r) {
    worst = std::max(worst, relative_error(static_cast<double>(horner(simd::kExp2F32, r)), static_cast<double>(r)));
  };
  const auto half = std::bit_cast<std::uint32_t>(0.5F);
  for (std::uint32_t bits = 0; bits <= half; bits += bits < 0x38000000U ? 1000003U : 1009U) {
    look(std::bit_cast<float>(bits));
    look(-std::bit_cast<float>(bits));
  }
  for (const float r : {0.5F, -0.5F, -0x1.ff2c82p-2F, std::numeric_limits<float>::denorm_min(), 0x1p-24F, -0x1p-24F}) {
    look(r);
  }
  std::printf("worst clearance (measured / certified): %.4f\n", worst / simd::kExp2MaxRelF32);
  EXPECT_LE(worst, simd::kExp2MaxRelF32);
  EXPECT_GT(worst, 0.9 * simd::kExp2MaxRelF32);
}

TEST(Exp2Constants, Float64StaysWithinItsBound) {
  Random random(8);
  double worst = 0.0;
  const auto look = [&](double r) { worst = std::max(worst, relative_error(horner(simd::kExp2F64, r), r)); };
  for (int i = 0; i < 200000; ++i) look(random.uniform(-0.5, 0.5));
  for (int i = 0; i < 50000; ++i) look(random.sign() * random.log_uniform(1e-18, 0.5));
  for (int i = 0; i < 50000; ++i) look(random.uniform(-0.5, -0.48));
  for (const double r : {0.5, -0.5, std::numeric_limits<double>::denorm_min(), 0x1p-53, -0x1p-53}) look(r);
  std::printf("worst clearance (measured / certified): %.4f\n", worst / simd::kExp2MaxRelF64);
  EXPECT_LE(worst, simd::kExp2MaxRelF64);
  EXPECT_GT(worst, 0.9 * simd::kExp2MaxRelF64);
}

}  // namespace
}  // namespace polyattn::test
