// The lookup table of Lemma 4.7 against brute force, and its size against Pascal's triangle.

#include "lab/hamming_table.hpp"

#include "lab/nearest_instances.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <vector>

namespace polyattn::lab {
namespace {

TEST(HammingTable, BallsAreCounted) {
  std::vector<std::vector<std::int64_t>> pascal{{1}};
  for (std::size_t d = 1; d <= 60; ++d) {
    pascal.emplace_back(d + 1, 1);
    for (std::size_t i = 1; i < d; ++i) pascal[d][i] = pascal[d - 1][i - 1] + pascal[d - 1][i];
  }
  for (std::size_t d = 0; d <= 60; ++d) {
    std::int64_t sum = 0;
    for (std::size_t t = 0; t <= d; ++t) {
      sum += pascal[d][t];
      ASSERT_EQ(ball_size(static_cast<std::int64_t>(d), static_cast<std::int64_t>(t)), sum) << d << ' ' << t;
    }
  }
  EXPECT_EQ(ball_size(1000, 500), std::int64_t{1} << 62);
  // Case 1 of the lemma as printed probes C(d, t) vectors; within distance 2 of 64 bits there are 2,081, not 2,016.
  EXPECT_EQ(ball_size(64, 2), 2081);
}

TEST(HammingTable, TakenWhereItIsSublinear) {
  EXPECT_TRUE(table_is_cheap(64, 1, 2000));
  EXPECT_FALSE(table_is_cheap(64, 2, 2000));
  EXPECT_TRUE(table_is_cheap(16, 3, 2000));
  EXPECT_TRUE(table_is_cheap(64, 0, 1));
  EXPECT_FALSE(table_is_cheap(4000, 2000, 1000000));
}

TEST(HammingTable, FindsTheNearestWithin) {
  std::int64_t found = 0;
  std::int64_t missed = 0;
  for (const std::int64_t d : {0, 1, 5, 13, 70}) {
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      const NearestInstance data = planted_nearest(20, 15, d, std::min<std::int64_t>(d, 2), seed);
      const HammingTable table(data.b);
      for (std::int64_t i = 0; i < 20; ++i) {
        std::int64_t nearest = d + 1;
        for (std::int64_t j = 0; j < 15; ++j) nearest = std::min(nearest, hamming_distance(data.a[i], data.b[j]));
        for (std::int64_t t = 0; t <= std::min<std::int64_t>(d, 3); ++t) {
          const auto index = table.within(data.a[i], t);
          ASSERT_EQ(index.has_value(), nearest <= t);
          (index ? found : missed) += 1;
          if (index) {
            ASSERT_EQ(hamming_distance(data.a[i], data.b[*index]), nearest);
          }
        }
      }
    }
  }
  EXPECT_GT(found, 200);
  EXPECT_GT(missed, 200);
}

}  // namespace
}  // namespace polyattn::lab
