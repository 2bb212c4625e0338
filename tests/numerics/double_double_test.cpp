#include "numerics/double_double.hpp"

#include "support/quad.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace polyattn::test {
namespace {

using numerics::kPair;
using numerics::Pair;

Quad value(Pair x) { return static_cast<Quad>(x.hi) + static_cast<Quad>(x.lo); }
Quad size(Quad x) { return x < 0 ? -x : x; }

Pair random_pair(Random& random) {
  const double hi = random.sign() * random.log_uniform(1e-30, 1e30);
  const double lo = random.chance(0.2) ? 0.0 : 0.5 * random.uniform(-1.0, 1.0) * (std::nextafter(hi, 2.0 * hi) - hi);
  return numerics::two_sum(hi, lo);
}

bool is_normalised(Pair x) { return x.hi + x.lo == x.hi; }

// binary128 has 113 bits: the exact results here are good to kPair / 2^9, which the clearance leaves room for.
TEST(DoubleDouble, OperationsStayWithinTheirBound) {
  Random random(3);
  double worst = 0.0;
  for (int i = 0; i < 200000; ++i) {
    const Pair x = random_pair(random);
    Pair y = random_pair(random);
    if (random.chance(0.3)) y = {-x.hi * (1.0 + 0x1p-50 * static_cast<double>(random.integer(-4, 4))), y.lo * 0x1p-90};
    y = numerics::two_sum(y.hi, y.lo);
    const auto check = [&](Pair result, Quad exact, Quad scale) {
      ASSERT_TRUE(is_normalised(result));
      const Quad error = size(value(result) - exact);
      ASSERT_LE(error, scale * static_cast<Quad>(kPair));
      worst = std::max(worst, static_cast<double>(error / (scale * static_cast<Quad>(kPair))));
    };
    const Quad a = value(x);
    const Quad b = value(y);
    check(numerics::add(x, y), a + b, size(a) + size(b));
    check(numerics::multiply(x, y), a * b, size(a * b));
    const Pair up{std::fabs(y.hi), std::copysign(y.lo, y.hi < 0.0 ? -y.lo : y.lo)};
    const Pair right{std::fabs(x.hi), std::copysign(x.lo, x.hi < 0.0 ? -x.lo : x.lo)};
    check(numerics::add_same_sign(right, up), value(right) + value(up), value(right) + value(up));
    const double d = random.sign() * random.log_uniform(1e-20, 1e20);
    const Quad quotient = a / static_cast<Quad>(d);
    check(numerics::divide(x, d), quotient, size(quotient));
  }
  std::printf("worst clearance (measured / certified): %.4f\n", worst);
}

TEST(DoubleDouble, ErrorFreeTransformationsAreExact) {
  Random random(4);
  for (int i = 0; i < 100000; ++i) {
    const double a = random.sign() * random.log_uniform(1e-15, 1e15);
    const double b = random.sign() * random.log_uniform(1e-15, 1e15);
    const Pair product = numerics::two_product(a, b);
    EXPECT_EQ(value(product), static_cast<Quad>(a) * static_cast<Quad>(b));
    EXPECT_EQ(product.hi, a * b);
    EXPECT_EQ(value(numerics::two_sum(a, b)), static_cast<Quad>(a) + static_cast<Quad>(b));
  }
}

}  // namespace
}  // namespace polyattn::test
