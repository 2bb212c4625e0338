// The statistics of a sampled guarantee: closed forms, and how often the statement really fails.

#include "planning/sampled.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <vector>

namespace polyattn::test {
namespace {

using planning::attempt_risk;
using planning::draw_indices;
using planning::DrawName;
using planning::rows_to_sample;
using planning::unseen_share;

TEST(AttemptRisk, AddsUpToLessThanWhatMayGoWrong) {
  for (const double confidence : {0.5, 0.95, 0.999}) {
    for (const std::int64_t heads : {1, 7, 4096}) {
      long double sum = 0.0L;
      for (int attempt = 60; attempt >= 1; --attempt) {
        sum += static_cast<long double>(attempt_risk(confidence, heads, attempt));
      }
      sum *= static_cast<long double>(heads);
      EXPECT_LT(sum, 1.0L - static_cast<long double>(confidence));
      EXPECT_GT(sum, (1.0L - static_cast<long double>(confidence)) * 0.999999L);
    }
  }
  EXPECT_NEAR(attempt_risk(0.95, 1, 1), 0.025, 1e-12);
  EXPECT_NEAR(attempt_risk(0.95, 10, 3), 0.000625, 1e-12);
}

TEST(RowsToSample, IsTheFewestThatSuffice) {
  EXPECT_EQ(rows_to_sample(0.5, 0.25), 2);
  EXPECT_EQ(rows_to_sample(0.5, 0.2), 3);
  EXPECT_EQ(rows_to_sample(0.01, 0.05), 299);  // the usual "300 rows: 1 % at 95 %"
  EXPECT_EQ(rows_to_sample(0.999, 0.5), 1);
  for (const double share : {0.3, 0.05, 0.01, 1e-3, 1e-5}) {
    for (const double risk : {0.3, 0.025, 1e-4, 1e-9}) {
      const std::int64_t rows = rows_to_sample(share, risk);
      const long double stays = 1.0L - static_cast<long double>(share);
      const auto allowed = static_cast<long double>(risk);
      EXPECT_LE(std::pow(stays, static_cast<long double>(rows)), allowed * (1.0L + 1e-9L)) << share << " " << risk;
      EXPECT_GT(std::pow(stays, static_cast<long double>(rows - 1)), allowed * (1.0L - 1e-9L)) << share << " " << risk;
      EXPECT_LE(unseen_share(rows, risk), share);
    }
  }
  EXPECT_EQ(rows_to_sample(1e-300, 0.05), std::numeric_limits<std::int64_t>::max());
}

TEST(UnseenShare, IsTheShareThatAllRowsMissWithThatProbability) {
  for (const std::int64_t rows : {1, 20, 300, 100000}) {
    for (const double risk : {0.5, 0.05, 1e-6}) {
      const auto share = static_cast<long double>(unseen_share(rows, risk));
      const auto allowed = static_cast<long double>(risk);
      const long double missed = std::exp(static_cast<long double>(rows) * std::log1p(-share));
      EXPECT_LE(missed, allowed);  // rounded towards more
      // A share larger by 1e-12 of itself is missed less often by rows * share / (1 - share) times that.
      EXPECT_GT(missed, allowed * (1.0L - 4e-12L * static_cast<long double>(rows) * share / (1.0L - share)));
    }
  }
  EXPECT_NEAR(unseen_share(1, 0.05), 0.95, 1e-9);
  EXPECT_NEAR(unseen_share(300, 0.05), 0.009936, 1e-5);
}

TEST(DrawIndices, AreAscendingOnceAndWithin) {
  for (const std::int64_t population : {1, 2, 100, 1000003}) {
    const std::vector<std::int64_t> rows = draw_indices({.seed = 5}, population, 300);
    ASSERT_FALSE(rows.empty());
    EXPECT_GE(rows.front(), 0);
    EXPECT_LT(rows.back(), population);
    EXPECT_EQ(std::adjacent_find(rows.begin(), rows.end(), std::greater_equal<>()), rows.end());
  }
  EXPECT_EQ(draw_indices({}, 1, 300), std::vector<std::int64_t>{0});
  EXPECT_TRUE(draw_indices({}, 10, 0).empty());
}

TEST(DrawIndices, DependOnEveryPartOfTheName) {
  const auto draw = [](const DrawName& name) { return draw_indices(name, 1000000, 50); };
  const std::set<std::vector<std::int64_t>> all{draw({}),
                                                draw({.seed = 1}),
                                                draw({.seed = std::uint64_t{1} << 32}),
                                                draw({.batch = 1}),
                                                draw({.head = 1}),
                                                draw({.attempt = 2}),
                                                draw({.batch = 2}),
                                                draw({.head = std::int64_t{1} << 32})};
  EXPECT_EQ(all.size(), 8U);
  EXPECT_EQ(draw({.seed = 7, .batch = 1, .head = 2, .attempt = 3}),
            draw({.seed = 7, .batch = 1, .head = 2, .attempt = 3}));
}

TEST(DrawIndices, AreUniform) {
  // How many of ten cells of 100 rows each of 20,000 draws falls into: chi squared with 9 degrees of freedom, whose
  // 1 - 1e-6 quantile is 44.8. Draws of single rows, so that no repetition is lost.
  std::vector<double> count(10, 0.0);
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) {
    count[static_cast<std::size_t>(draw_indices({.seed = static_cast<std::uint64_t>(i)}, 1000, 1).at(0) / 100)] += 1.0;
  }
  double chi = 0.0;
  for (const double seen : count) {
    chi += (seen - kDraws / 10.0) * (seen - kDraws / 10.0) / (kDraws / 10.0);
  }
  EXPECT_LT(chi, 44.8);
}

TEST(DrawIndices, RepeatAsDrawsWithReplacementDo) {
  // 1000 of 1000: each is hit with probability 1 - (1 - 1/1000)^1000 = 0.63230, the number of them has a standard
  // deviation of about 9.7; the mean of 200 draws one of 0.69.
  double distinct = 0.0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    distinct += static_cast<double>(draw_indices({.seed = seed}, 1000, 1000).size()) / 200.0;
  }
  EXPECT_NEAR(distinct, 1000.0 * (1.0 - std::pow(0.999, 1000.0)), 5.0 * 0.69);
}

/// Of `trials` draws, how many leave more than a share `share` of the errors above the largest one drawn.
double failures(const std::vector<double>& errors, std::int64_t rows, double share, int trials) {
  int failed = 0;
  const auto size = static_cast<std::int64_t>(errors.size());
  for (int trial = 0; trial < trials; ++trial) {
    double largest = 0.0;
    for (const std::int64_t i : draw_indices({.seed = static_cast<std::uint64_t>(trial), .attempt = 2}, size, rows)) {
      largest = std::max(largest, errors[static_cast<std::size_t>(i)]);
    }
    const auto above = std::count_if(errors.begin(), errors.end(), [&](double e) { return e > largest; });
    failed += static_cast<double>(above) > share * static_cast<double>(size) ? 1 : 0;
  }
  return static_cast<double>(failed) / trials;
}

TEST(Coverage, IsWhatTheLemmaSaysAndNotBetterThanItMust) {
  // Errors all different: the statement fails if none of the eleven largest of 1000 is drawn.
  std::vector<double> errors(1000);
  for (std::size_t i = 0; i < errors.size(); ++i) {
    errors[i] = std::exp(static_cast<double>((i * 387) % 1000) / 50.0);
  }
  constexpr int kTrials = 8000;
  for (const std::int64_t rows : {20, 100, 200}) {
    const double expected = std::pow(1.0 - 0.011, static_cast<double>(rows));
    const double spread = std::sqrt(expected * (1.0 - expected) / kTrials);
    const double seen = failures(errors, rows, 0.01, kTrials);
    EXPECT_NEAR(seen, expected, 5.0 * spread) << rows;
    EXPECT_LE(seen, std::pow(0.99, static_cast<double>(rows)) + 5.0 * spread) << rows;
  }
}

TEST(Coverage, HoldsForTheRowsAndRiskOfAnAttempt) {
  std::vector<double> errors(5000);
  for (std::size_t i = 0; i < errors.size(); ++i) {
    errors[i] = i < 100 ? 1.0 + static_cast<double>(i) : 1e-3;  // the worst fiftieth is another matter
  }
  for (const double share : {0.02, 0.01}) {
    const double risk = attempt_risk(0.9, 1, 1);
    constexpr int kTrials = 4000;
    const double seen = failures(errors, rows_to_sample(share, risk), share, kTrials);
    EXPECT_LE(seen, risk + 5.0 * std::sqrt(risk / kTrials)) << share;
    if (share == 0.01) {
      EXPECT_GT(seen, 0.5 * risk);  // fewer rows would not do
    }
  }
}

TEST(Coverage, TiesNeverFail) { EXPECT_EQ(failures(std::vector<double>(50, 0.25), 1, 0.01, 200), 0.0); }

}  // namespace
}  // namespace polyattn::test
