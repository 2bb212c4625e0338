#include "base/checked.hpp"

#include "support/expect_error.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cstdint>
#include <limits>

namespace polyattn::test {
namespace {

using base::checked_mul;
using base::checked_product;

constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kRoot = 3037000499;  // floor(sqrt(2^63 - 1))

testing::AssertionResult refused(std::int64_t a, std::int64_t b) {
  return fails_with(ErrorCode::invalid_argument, {"moments", std::to_string(a), std::to_string(b)},
                    [&] { checked_mul(a, b, "moments"); });
}

TEST(Checked, ProductsThatFitAreExact) {
  EXPECT_EQ(checked_mul(0, 0, "x"), 0);
  EXPECT_EQ(checked_mul(0, kLargest, "x"), 0);
  EXPECT_EQ(checked_mul(kLargest, 1, "x"), kLargest);
  EXPECT_EQ(checked_mul(kRoot, kRoot, "x"), kRoot * kRoot);
  EXPECT_EQ(checked_mul(std::int64_t{1} << 31, std::int64_t{1} << 31, "x"), std::int64_t{1} << 62);
}

TEST(Checked, OverflowAndNegativeSizesAreRefusedByName) {
  EXPECT_TRUE(refused(kRoot + 1, kRoot + 1));
  EXPECT_TRUE(refused(kLargest, 2));
  EXPECT_TRUE(refused(std::int64_t{1} << 32, std::int64_t{1} << 31));
  EXPECT_TRUE(refused(-1, 1));
  EXPECT_TRUE(refused(1, -1));
  EXPECT_TRUE(refused(-1, -1));
  EXPECT_TRUE(refused(std::numeric_limits<std::int64_t>::min(), 0));
}

TEST(Checked, ProductOfManyFactors) {
  EXPECT_EQ(checked_product({}, "shape"), 1);
  EXPECT_EQ(checked_product({2, 3, 5, 7}, "shape"), 210);
  EXPECT_EQ(checked_product({7, 0, 5, 7}, "shape"), 0);
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"shape"}, [] {
    checked_product({kRoot, kRoot, 2, 1}, "shape");
  }));
}

TEST(Checked, Blocks) {
  EXPECT_EQ(base::blocks_of(0, 4), 0);
  EXPECT_EQ(base::blocks_of(1, 4), 1);
  EXPECT_EQ(base::blocks_of(4, 4), 1);
  EXPECT_EQ(base::blocks_of(5, 4), 2);
  EXPECT_EQ(base::round_up_to(0, 64), 0);
  EXPECT_EQ(base::round_up_to(1, 64), 64);
  EXPECT_EQ(base::round_up_to(64, 64), 64);
}

RC_GTEST_PROP(Checked, AgreesWithDivision, ()) {
  const auto a = *rc::gen::inRange<std::int64_t>(1, std::int64_t{1} << *rc::gen::inRange(1, 62));
  const auto b = *rc::gen::inRange<std::int64_t>(1, std::int64_t{1} << *rc::gen::inRange(1, 62));
  if (a <= kLargest / b) {
    RC_ASSERT(checked_mul(a, b, "x") == a * b);
  } else {
    RC_ASSERT_THROWS_AS(checked_mul(a, b, "x"), Error);
  }
}

}  // namespace
}  // namespace polyattn::test
