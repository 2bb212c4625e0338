// What is measured of a head of order k: ranges of products from corners, weighted means, statistics.

#include "planning/tuple_facts.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::planning {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

base::Rows rows_of(const std::vector<double>& data, std::int64_t columns) {
  const auto rows = static_cast<std::int64_t>(data.size()) / columns;
  base::Rows out;
  out.pieces.push_back({data.data(), DType::float64, 0, rows, columns, 1});
  out.rows = rows;
  out.columns = columns;
  return out;
}

struct Head {
  std::vector<double> q{3.0, -4.0, 0.5, 0.0};  // [2, 2]
  std::vector<std::vector<double>> k{{1.0, 2.0, -2.0, 0.5, 9.0, 9.0}, {0.5, -0.25, 1.0, 0.0}};
  std::vector<std::vector<double>> v{{-2.0, 1.0, 1.0, 3.0, 50.0, 50.0}, {-1.0, 2.0, 3.0, 2.0}};
  std::vector<std::vector<double>> bias{{0.0, std::log(3.0), -kInfinity}, {0.0, 0.0}};

  [[nodiscard]] engines::TupleProblem problem() const {
    engines::TupleProblem problem;
    problem.queries = rows_of(q, 2);
    problem.scale = -0.5;
    for (std::size_t s = 0; s < k.size(); ++s) {
      engines::KeySet set;
      set.keys = rows_of(k[s], 2);
      set.values = rows_of(v[s], 2);
      set.bias.rows = rows_of(bias[s], 1);
      problem.sets.push_back(set);
    }
    return problem;
  }
};

TEST(TupleFacts, RangesAndMeansOfProducts) {
  const Head head;
  const TupleFacts facts = measure_tuples(head.problem(), {});
  // Column 0: [-2, 1] times [-1, 3]; column 1: [1, 3] times [2, 2]. The hidden key counts nowhere.
  EXPECT_EQ(facts.low, (std::vector<double>{-6.0, 2.0}));
  EXPECT_EQ(facts.high, (std::vector<double>{3.0, 6.0}));
  EXPECT_EQ(facts.range(), 9.0);
  EXPECT_EQ(facts.max_abs_value, 6.0);
  EXPECT_NEAR(facts.mean[0], (-2.0 + 3.0 * 1.0) / 4.0 * 1.0, 1e-15);
  EXPECT_NEAR(facts.mean[1], (1.0 + 3.0 * 3.0) / 4.0 * 2.0, 1e-15);
  EXPECT_FALSE(facts.empty());
}

TEST(TupleFacts, StatisticsBoundTheScores) {
  const Head head;
  const engines::TupleProblem problem = head.problem();
  const InputStatistics statistics = tuple_statistics(problem, measure_tuples(problem, {}));
  EXPECT_EQ(statistics.queries, 2);
  EXPECT_EQ(statistics.keys, 5);
  EXPECT_EQ(statistics.visible_keys, 4);
  EXPECT_EQ(statistics.keys_per_set, (std::vector<std::int64_t>{3, 2}));
  EXPECT_EQ(statistics.max_abs_query, 4.0);
  EXPECT_EQ(statistics.max_abs_key, 2.0);
  double largest = 0.0;
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < 2; ++j) {
      for (std::size_t h = 0; h < 2; ++h) {
        double score = 0.0;
        for (std::size_t l = 0; l < 2; ++l) {
          score += head.q[2 * i + l] * head.k[0][2 * j + l] * head.k[1][2 * h + l];
        }
        largest = std::max(largest, 0.5 * std::fabs(score));
      }
    }
  }
  EXPECT_GE(statistics.radius_before, largest);
  EXPECT_LE(statistics.radius_before, 0.5 * 5.0 * std::sqrt(5.0) * 1.0 * (1.0 + 1e-14));
}

TEST(TupleFacts, NothingVisible) {
  Head head;
  head.bias[1] = {-kInfinity, -kInfinity};
  const TupleFacts facts = measure_tuples(head.problem(), {});
  EXPECT_TRUE(facts.empty());
  EXPECT_EQ(facts.range(), 0.0);
  EXPECT_EQ(facts.mean, (std::vector<double>{0.0, 0.0}));
}

TEST(TupleFacts, WhatIsNotFiniteIsPassedOver) {
  Head head;
  head.v[0][0] = std::nan("");
  head.k[1][0] = kInfinity;
  const TupleFacts facts = measure_tuples(head.problem(), {});
  EXPECT_EQ(facts.high[0], 3.0);
  EXPECT_EQ(facts.sets[1].max_abs_key, 1.0);
}

}  // namespace
}  // namespace polyattn::planning
