#include "planning/values.hpp"

#include "engines/polynomial_head.hpp"
#include "support/expect_error.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

engines::ValueRange range_of(const HeadData& head, const base::Context& context = serial_context()) {
  return planning::value_range(head.problem(), nullptr, 0.0, context);
}

TEST(ValueRange, IsOfTheVisibleKeys) {
  HeadData head = random_head(1, 1, 5000, 1, 3);
  head.bias.assign(5000, 0.0);
  head.v[usize(3 * 4321 + 1)] = 50.0;
  head.v[usize(3 * 17 + 1)] = -60.0;
  for (const std::int64_t j : {0, 2047, 2048, 4999}) {  // hidden: may hold anything
    head.bias[usize(j)] = -kInfinity;
    head.v[usize(3 * j)] = kNan;
    head.v[usize(3 * j + 1)] = 1e300;
    head.v[usize(3 * j + 2)] = -kInfinity;
  }
  const engines::ValueRange range = range_of(head);
  EXPECT_EQ(range.low[1], -60.0);
  EXPECT_EQ(range.high[1], 50.0);
  EXPECT_EQ(range.range(), 110.0);
  EXPECT_EQ(range.max_abs, 60.0);
  for (std::size_t c = 0; c < 3; ++c) {
    EXPECT_GE(range.centre[c], range.low[c]);
    EXPECT_LE(range.centre[c], range.high[c]);
  }
  EXPECT_GT(range.high[0], 2.0);
  EXPECT_LT(range.high[2], 10.0);
}

TEST(ValueRange, CentreIsNearTheWeightedMean) {
  HeadData head = random_head(2, 1, 1000, 1, 1);
  std::vector<double> log_weight(1000, -700.0);
  log_weight[123] = 5.0;
  log_weight[777] = 5.0;
  const engines::ValueRange range = planning::value_range(head.problem(), log_weight.data(), 5.0, serial_context());
  EXPECT_NEAR(range.centre[0], 0.5 * (head.v[123] + head.v[777]), 1e-15);
}

TEST(ValueRange, WithoutAVisibleKeyItIsEmpty) {
  HeadData head = random_head(3, 1, 4, 1, 2);
  head.bias.assign(4, -kInfinity);
  const engines::ValueRange range = range_of(head);
  EXPECT_EQ(range.range(), 0.0);
  EXPECT_EQ(range.max_abs, 0.0);
  EXPECT_EQ(range.centre, (std::vector<double>{0.0, 0.0}));
}

TEST(ValueRange, NonFiniteValuesOfVisibleKeysAreNamed) {
  HeadData head = random_head(4, 1, 3000, 1, 2);
  head.v[usize(2 * 2100 + 1)] = kNan;
  EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"NaN", "row 2100", "column 1"}, [&] { range_of(head); }));
  head.v[usize(2 * 2100 + 1)] = -kInfinity;
  EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"infinity", "row 2100", "column 1"}, [&] { range_of(head); }));
}

TEST(ValueRange, DoesNotDependOnThreads) {
  const HeadData head = random_head(5, 1, 9000, 1, 2);
  const engines::ValueRange expected = range_of(head);
  base::MemoryMeter memory;
  const engines::ValueRange range = range_of(head, {4, &memory, nullptr});
  EXPECT_EQ(range.low, expected.low);
  EXPECT_EQ(range.high, expected.high);
  EXPECT_EQ(range.centre, expected.centre);
}

TEST(MeanValue, IsWeightedByTheBias) {
  HeadData head = random_head(6, 1, 5000, 1, 2);
  for (std::int64_t j = 0; j < 5000; ++j) {
    head.bias.push_back(j % 3 == 0 ? -kInfinity
                                   : 300.0 + 0.001 * static_cast<double>(j));  // e^300 alone is fine, sums of it too
    if (j % 3 == 0) {
      head.v[usize(2 * j)] = kNan;
    }
  }
  long double weight = 0.0L;
  long double sum = 0.0L;
  for (std::int64_t j = 0; j < 5000; ++j) {
    if (j % 3 != 0) {
      const long double w = std::exp(static_cast<long double>(head.bias[usize(j)]) - 305.0L);
      weight += w;
      sum += w * static_cast<long double>(head.v[usize(2 * j)]);
    }
  }
  for (const int threads : {1, 3}) {
    const std::vector<double> mean = planning::mean_value(head.problem(), {threads, nullptr, nullptr});
    EXPECT_NEAR(mean[0], static_cast<double>(sum / weight), 1e-12);
  }
  head.bias.clear();
  head.v.assign(10000, 2.5);
  EXPECT_NEAR(planning::mean_value(head.problem(), serial_context())[1], 2.5, 1e-12);
}

TEST(RequireBias, HiddenKeysAreFineNothingElseThatIsNotFinite) {
  HeadData head = random_head(7, 1, 30, 1, 1);
  EXPECT_NO_THROW(planning::require_bias(head.problem())) << "no bias";
  head.bias.assign(30, 1e300);
  head.bias[3] = -kInfinity;
  EXPECT_NO_THROW(planning::require_bias(head.problem()));
  head.bias[21] = kInfinity;
  EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"key_bias", "+infinity", "key 21"},
                         [&] { planning::require_bias(head.problem()); }));
  head.bias[20] = kNan;
  EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"key_bias", "NaN", "key 20"},
                         [&] { planning::require_bias(head.problem()); }));
}

}  // namespace
}  // namespace polyattn::test
