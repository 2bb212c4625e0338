#include "numerics/rounding.hpp"

#include "support/quad.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace polyattn::test {
namespace {

using numerics::gamma;
using numerics::inflate;
using numerics::kU32;
using numerics::kU64;
using numerics::perturbation;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

static_assert(1.0F + static_cast<float>(kU32) == 1.0F && 1.0F + static_cast<float>(1.5 * kU32) > 1.0F);
static_assert(1.0 + kU64 == 1.0 && 1.0 + 1.5 * kU64 > 1.0);
static_assert(gamma(0, kU64) == 0.0 && gamma(1, kU32) > kU32);

TEST(Rounding, GammaIsRoundedUpAndTight) {
  for (const double u : {kU32, kU64}) {
    for (const std::int64_t k : {1LL, 2LL, 3LL, 7LL, 100LL, 99999LL, (1LL << 23), (1LL << 24) - 1}) {
      const Quad product = static_cast<Quad>(u) * k;
      const Quad exact = product / (1 - product);
      const Quad computed = static_cast<Quad>(gamma(k, u));
      EXPECT_GE(computed, exact) << k;
      EXPECT_LE(computed, exact * (1 + static_cast<Quad>(1e-14))) << k;
    }
  }
  EXPECT_EQ(gamma(std::int64_t{1} << 24, kU32), kInfinity);
  EXPECT_EQ(gamma(std::int64_t{1} << 53, kU64), kInfinity);
  EXPECT_EQ(gamma(std::numeric_limits<std::int64_t>::max(), kU32), kInfinity);
  EXPECT_EQ(gamma(std::numeric_limits<double>::quiet_NaN(), kU32), kInfinity);
}

// The worst chain: every one of k roundings goes down by a relative 2U.
TEST(Rounding, InflateCoversItsOperations) {
  Random random(5);
  for (int i = 0; i < 2000; ++i) {
    const double x = random.log_uniform(1e-280, 1e280);
    const auto k = random.integer(0, 4000);
    Quad exact = static_cast<Quad>(x);
    for (std::int64_t j = 0; j < k; ++j) exact /= 1 - static_cast<Quad>(0x1p-52);
    EXPECT_GE(static_cast<Quad>(inflate(x, k)), exact);
    EXPECT_LE(inflate(x, k), x * (1.0 + 5e-16 * static_cast<double>(k + 4)));
  }
  EXPECT_EQ(inflate(0.0, 100), 0.0);
  EXPECT_EQ(inflate(kInfinity, 100), kInfinity);
  EXPECT_GT(numerics::round_up(1.0), 1.0);
  EXPECT_GT(numerics::round_up(0.0), 0.0);
}

TEST(Rounding, PerturbationIsTanhOfHalfRoundedUp) {
  Random random(6);
  for (int i = 0; i < 20000; ++i) {
    const double zeta = random.log_uniform(1e-9, 60.0);
    const Quad e = exp_of(-static_cast<Quad>(zeta));
    const Quad exact = (1 - e) / (1 + e);
    // exp_of is good to 2^-112 or so, 1 - e to 2^-112 / zeta.
    const Quad slack = static_cast<Quad>(0x1p-110 / zeta);
    const Quad computed = static_cast<Quad>(perturbation(zeta));
    EXPECT_GE(computed, exact * (1 - slack)) << zeta;
    EXPECT_LE(computed, exact * (1 + static_cast<Quad>(0x1p-44))) << zeta;
    EXPECT_LE(perturbation(zeta), 1.0);
  }
}

TEST(Rounding, PerturbationAtTheEnds) {
  EXPECT_EQ(perturbation(0.0), 0.0);
  EXPECT_EQ(perturbation(1e6), 1.0);
  EXPECT_EQ(perturbation(kInfinity), 1.0);
  EXPECT_EQ(perturbation(std::numeric_limits<double>::quiet_NaN()), 1.0);
  EXPECT_EQ(perturbation(-1.0), 1.0);
  const double smallest = std::numeric_limits<double>::denorm_min();
  EXPECT_GE(perturbation(smallest), smallest);  // tanh(zeta / 2) is not representable: the next number above
  EXPECT_EQ(perturbation(0x1p-100), 0x1p-101);
  double before = 0.0;
  for (double zeta = 1e-12; zeta < 50.0; zeta *= 1.01) {
    EXPECT_GE(perturbation(zeta), before * (1.0 - 1e-13));
    before = perturbation(zeta);
  }
}

}  // namespace
}  // namespace polyattn::test
