#include "numerics/interval.hpp"

#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace polyattn::test {
namespace {

using numerics::Interval;
using numerics::interval_product;

void expect_hull(const Interval& a, const Interval& b, double low, double high) {
  const Interval product = interval_product(a, b);
  EXPECT_EQ(product.low, low);
  EXPECT_EQ(product.high, high);
}

TEST(Interval, ProductOfEverySign) {
  expect_hull({2, 3}, {5, 7}, 10, 21);
  expect_hull({-3, -2}, {5, 7}, -21, -10);
  expect_hull({-3, -2}, {-7, -5}, 10, 21);
  expect_hull({-2, 3}, {5, 7}, -14, 21);
  expect_hull({-2, 3}, {-7, -5}, -21, 14);
  expect_hull({-2, 3}, {-5, 7}, -15, 21);
  expect_hull({-4, 3}, {-5, 7}, -28, 21);
  expect_hull({0, 3}, {-5, 0}, -15, 0);
}

// Rounding to nearest keeps the order of products, and ends are attained.
TEST(Interval, ProductIsTheHullOfProducts) {
  Random random(3);
  for (int round = 0; round < 2000; ++round) {
    const auto interval = [&] {
      const double a = random.normal();
      const double b = random.normal();
      return Interval{std::min(a, b), std::max(a, b)};
    };
    const Interval a = interval();
    const Interval b = interval();
    const Interval product = interval_product(a, b);
    double low = a.low * b.low;
    double high = low;
    for (int i = 0; i <= 8; ++i) {
      for (int j = 0; j <= 8; ++j) {
        const double x = i == 8 ? a.high : std::clamp(std::lerp(a.low, a.high, i / 8.0), a.low, a.high);
        const double y = j == 8 ? b.high : std::clamp(std::lerp(b.low, b.high, j / 8.0), b.low, b.high);
        low = std::min(low, x * y);
        high = std::max(high, x * y);
      }
    }
    ASSERT_EQ(product.low, low);
    ASSERT_EQ(product.high, high);
  }
}

}  // namespace
}  // namespace polyattn::test
