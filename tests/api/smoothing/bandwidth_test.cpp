// Scott's rule and cross-validation against their definitions.

#include "api/smoothing/cloud.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using Candidates = std::vector<std::vector<double>>;

TEST(Scott, ByItsFormula) {
  // Deviations of 1, 2, 3, 4, 5 from their mean: 4 + 1 + 0 + 1 + 4 = 10, over 4.
  const Stored x = matrix_of(DType::float64, 2, {1, 1e200, 2, 2e200, 3, 3e200, 4, 4e200, 5, 5e200});
  const std::vector<double> h = scott_bandwidth(x.view());
  ASSERT_EQ(h.size(), 2U);
  const double expected = std::sqrt(2.5) * std::pow(5.0, -1.0 / 6.0);
  EXPECT_NEAR(h[0], expected, 8 * 0x1p-52);
  EXPECT_NEAR(h[1] / 1e200, expected, 16 * 0x1p-52) << "squares of these overflow";
  const Stored one = matrix_of(DType::float32, 1, {3.0, 7.0});
  EXPECT_NEAR(scott_bandwidth(one.view())[0], std::sqrt(8.0) * std::pow(2.0, -0.2), 8 * 0x1p-52);
  // An offset of a billion deviations costs nothing but what the numbers themselves lost.
  const Stored far = matrix_of(DType::float64, 1, {1e9 + 1, 1e9 + 2, 1e9 + 3, 1e9 + 4, 1e9 + 5});
  EXPECT_NEAR(scott_bandwidth(far.view())[0], std::sqrt(2.5) * std::pow(5.0, -0.2), 8 * 0x1p-52);
}

TEST(Scott, Refusals) {
  const Stored constant = matrix_of(DType::float64, 3, {1, 5, 2, 2, 5, 4});
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"points", "column 1", "constant at 5"},
                         [&] { scott_bandwidth(constant.view()); }));
  const Stored one = matrix_of(DType::float64, 1, {1.0});
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"points", "two"}, [&] { scott_bandwidth(one.view()); }));
  const Stored bad = matrix_of(DType::float64, 2, {1, 5, 2, std::nan("")});
  EXPECT_TRUE(
      fails_with(ErrorCode::non_finite, {"points", "NaN at row 1, column 1"}, [&] { scott_bandwidth(bad.view()); }));
}

/// Every score against the definition; returns the worst clearance.
double judge_scores(const Cloud& cloud, const BandwidthResult& result) {
  double worst = 0.0;
  double size = 0.0;
  for (const double v : cloud.values.values) {
    size = std::max(size, std::fabs(v));
  }
  for (const BandwidthScore& score : result.scores) {
    const TrueResiduals truth = true_residuals(cloud, score.bandwidth);
    EXPECT_EQ(score.residuals.scored, truth.scored);
    EXPECT_EQ(score.residuals.scored + score.residuals.unscored, cloud.n());
    Quad error = 0;
    for (const Quad variance : truth.variance) {
      error += variance;
    }
    if (truth.scored == 0) {
      EXPECT_EQ(score.error, kInfinity);
      continue;
    }
    const double of_score = clearance(distance(score.error, error, 4.0 * size * size), score.error_bound);
    EXPECT_LE(of_score, 1.0) << "bandwidth " << score.bandwidth[0];
    worst = std::max(worst, of_score);
  }
  return worst;
}

TEST(SelectBandwidth, AgreesWithTheDefinition) {
  Random random(12);
  double worst = 0.0;
  for (int trial = 0; trial < 6; ++trial) {
    const Cloud cloud = random_cloud({.n = 20 + 12 * trial,
                                      .d = 1 + trial % 3,
                                      .columns = 1 + trial % 2,
                                      .dtype = trial % 2 == 0 ? DType::float64 : DType::float32},
                                     random);
    BandwidthOptions options;
    options.threads = 2;
    const BandwidthResult result = select_bandwidth(cloud.points.view(), cloud.values.view(), options);
    ASSERT_EQ(result.scores.size(), 30U);
    EXPECT_NEAR(result.scores.front().factor, 0.05, 1e-12);
    EXPECT_NEAR(result.scores.back().factor, 2.0, 1e-12);
    EXPECT_EQ(result.scott, scott_bandwidth(cloud.points.view()));
    for (const BandwidthScore& score : result.scores) {
      for (std::size_t l = 0; l < result.scott.size(); ++l) {
        EXPECT_NEAR(score.bandwidth[l], score.factor * result.scott[l], 1e-12 * score.bandwidth[l]);
      }
      if (100 * score.residuals.scored >= 99 * cloud.n()) {
        EXPECT_GE(score.error, result.scores[result.best].error);
      }
    }
    EXPECT_EQ(result.bandwidth, result.scores[result.best].bandwidth);
    worst = std::max(worst, judge_scores(cloud, result));
  }
  std::printf("worst-clearance (measured / certified), cross-validation: %.3f\n", worst);
}

TEST(SelectBandwidth, TwoPairs) {
  // Points 0, 1 and 100, 101 with values 1, 3, 5, 9: everyone is answered by its neighbour, if at all.
  Cloud cloud;
  cloud.points = matrix_of(DType::float64, 1, {0.0, 1.0, 100.0, 101.0});
  cloud.values = matrix_of(DType::float64, 1, {1.0, 3.0, 5.0, 9.0});
  const Candidates candidates{{0.01}, {0.5}, {0.5}, {1e4}};
  const BandwidthResult result = select_bandwidth(cloud.points.view(), cloud.values.view(), candidates);
  ASSERT_EQ(result.scores.size(), 3U) << "a repeated candidate is tried once";
  EXPECT_EQ(result.scores[0].residuals.unscored, 4) << "no point sees another over 100 bandwidths";
  EXPECT_EQ(result.scores[0].error, kInfinity);
  EXPECT_LE(std::fabs(result.scores[1].error - 10.0), result.scores[1].error_bound) << "(4 + 4 + 16 + 16) / 4";
  EXPECT_TRUE(std::isnan(result.scores[1].factor));
  // All four weigh the same: residuals are 4/3 of the distance from the mean 4.5.
  const double wide = 16.0 / 9.0 * (3.5 * 3.5 + 1.5 * 1.5 + 0.5 * 0.5 + 4.5 * 4.5) / 4.0;
  EXPECT_NEAR(result.scores[2].error, wide, result.scores[2].error_bound + 0.01);
  EXPECT_EQ(result.best, 1U);
  EXPECT_TRUE(result.certain);
  EXPECT_TRUE(result.scott.empty());
}

TEST(SelectBandwidth, TheFirstOfEqualsWins) {
  const Stored x = matrix_of(DType::float64, 1, {0.0, 1.0});
  const Stored y = matrix_of(DType::float64, 1, {1.0, 3.0});  // either answers the other, whatever the bandwidth
  const BandwidthResult result = select_bandwidth(x.view(), y.view(), Candidates{{1.0}, {2.0}, {0.5}});
  EXPECT_EQ(result.scores[0].error, result.scores[1].error);
  EXPECT_EQ(result.best, 0U);
  EXPECT_FALSE(result.certain);
}

TEST(SelectBandwidth, WhoScoresTooFewIsNotChosen) {
  // A pair with equal values, and points alone: a narrow kernel makes no error where it says anything.
  const Stored x = matrix_of(DType::float64, 1, {0.0, 0.001, 10.0, 20.0, 30.0, 40.0});
  const Stored y = matrix_of(DType::float64, 1, {1.0, 1.0, 2.0, 3.0, 4.0, 5.0});
  const Candidates candidates{{0.01}, {5.0}};
  BandwidthOptions options;
  const BandwidthResult wide = select_bandwidth(x.view(), y.view(), candidates, options);
  EXPECT_EQ(wide.scores[0].residuals.scored, 2);
  EXPECT_LT(wide.scores[0].error, wide.scores[1].error);
  EXPECT_EQ(wide.best, 1U);
  EXPECT_TRUE(wide.certain);
  options.least_scored = 0.3;
  EXPECT_EQ(select_bandwidth(x.view(), y.view(), candidates, options).best, 0U);
  options.least_scored = 0.5;
  options.least_weight = 0.5;  // 10 apart is exp(-2), and twice that for those in the middle
  const BandwidthResult few = select_bandwidth(x.view(), y.view(), candidates, options);
  EXPECT_EQ(few.scores[1].residuals.scored, 2);
  EXPECT_EQ(few.best, 0U) << "none scores enough: the most, then the least error";
  EXPECT_FALSE(few.certain);
}

TEST(SelectBandwidth, CertainOnlyWhereBoundsAreApart) {
  const Stored x = matrix_of(DType::float64, 1, {0.0, 1.0, 2.0, 3.0});
  const Stored y = matrix_of(DType::float64, 1, {0.0, 1.0, 0.0, 1.0});
  const double h = 0.7;
  const Candidates close{{h}, {std::nextafter(h, 1.0)}};
  EXPECT_FALSE(select_bandwidth(x.view(), y.view(), close).certain);
  const Candidates apart{{h}, {0.2}};
  EXPECT_TRUE(select_bandwidth(x.view(), y.view(), apart).certain);
}

/// Values that depend on the first axis alone: its bandwidth should be small, the other large.
TEST(SelectBandwidth, PerAxisFindsTheAxisThatMatters) {
  Random random(44);
  Cloud cloud = random_cloud({.n = 400, .d = 2}, random);
  std::vector<double> values;
  for (std::int64_t j = 0; j < cloud.n(); ++j) {
    values.push_back(std::sin(12.0 * cloud.points.row(0, 0, j)[0]) + 0.1 * random.normal());
  }
  cloud.values = matrix_of(DType::float64, 1, values);
  BandwidthOptions options;
  options.factors = {0.2, 0.5, 1.0};
  options.search = BandwidthSearch::per_axis;
  options.threads = 2;
  const BandwidthResult both = select_bandwidth(cloud.points.view(), cloud.values.view(), options);
  EXPECT_GT(both.scores.size(), 8U);
  EXPECT_LT(both.scores.size(), 60U);
  EXPECT_GT(both.bandwidth[1], 4.0 * both.bandwidth[0]);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_LT(both.scores[both.best].error, both.scores[i].error);
  }
  for (const BandwidthScore& score : both.scores) {
    EXPECT_GE(score.error, both.scores[both.best].error);
  }
  options.most_candidates = 7;
  EXPECT_EQ(select_bandwidth(cloud.points.view(), cloud.values.view(), options).scores.size(), 7U);
  options.most_candidates = 1;
  EXPECT_EQ(select_bandwidth(cloud.points.view(), cloud.values.view(), options).scores.size(), 3U);
}

TEST(SelectBandwidth, TheSameForAnyNumberOfThreads) {
  Random random(45);
  const Cloud cloud = random_cloud({.n = 300, .d = 2, .columns = 2}, random);
  std::vector<double> errors;
  for (const int threads : {1, 3}) {
    BandwidthOptions options;
    options.threads = threads;
    options.factors = {0.3, 0.9};
    for (const BandwidthScore& score : select_bandwidth(cloud.points.view(), cloud.values.view(), options).scores) {
      errors.push_back(score.error);
      errors.push_back(score.error_bound);
    }
  }
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(errors[i], errors[i + 4]);
  }
}

TEST(SelectBandwidth, Refusals) {
  const Stored x = matrix_of(DType::float64, 2, {1, 5, 2, 5, 3, 5});
  const Stored y = matrix_of(DType::float64, 1, {1, 2, 4});
  const auto refuses = [&](const BandwidthOptions& options, std::initializer_list<std::string> parts) {
    return fails_with(ErrorCode::invalid_argument, parts,
                      [&] { select_bandwidth(x.view(), y.view(), Candidates{{1.0}}, options); });
  };
  EXPECT_TRUE(
      fails_with(ErrorCode::invalid_argument, {"column 1", "constant"}, [&] { select_bandwidth(x.view(), y.view()); }));
  EXPECT_EQ(select_bandwidth(x.view(), y.view(), Candidates{{1.0}}).best, 0U)
      << "given candidates need no column to vary";
  EXPECT_TRUE(refuses({.finest_step = 1.0}, {"finest_step"}));
  EXPECT_TRUE(refuses({.finest_step = std::nan("")}, {"finest_step"}));
  EXPECT_TRUE(refuses({.most_candidates = 0}, {"most_candidates"}));
  EXPECT_TRUE(refuses({.least_weight = 0.0}, {"least_weight"}));
  EXPECT_TRUE(refuses({.least_weight = kInfinity}, {"least_weight"}));
  EXPECT_TRUE(refuses({.least_scored = 1.5}, {"least_scored"}));
  EXPECT_TRUE(refuses({.threads = -1}, {"threads"}));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"candidates", "at least one"},
                         [&] { select_bandwidth(x.view(), y.view(), Candidates{}); }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"bandwidth", "one per axis (2)", "got 3"}, [&] {
    select_bandwidth(x.view(), y.view(), Candidates{{1.0, 2.0, 3.0}});
  }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"bandwidth", "none does"},
                         [&] { select_bandwidth(x.view(), y.view(), Candidates{{1e-3}}); }));
  const Stored varies = matrix_of(DType::float64, 2, {1, 5, 2, 6, 3, 7});
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"factors", "positive"}, [&] {
    select_bandwidth(varies.view(), y.view(), {.factors = {0.5, -1.0}});
  }));
  const Stored one = matrix_of(DType::float64, 1, {1});
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"points", "two"},
                         [&] { select_bandwidth(one.view(), one.view(), Candidates{{1.0}}); }));
  EXPECT_TRUE(fails_with(ErrorCode::unsupported, {"exclude_self", "polynomial"},
                         [&] { select_bandwidth(varies.view(), y.view(), {.engine = Engine::polynomial}); }));
  const Stored huge = matrix_of(DType::float64, 1, {1e200, -1e200, 1e200});
  EXPECT_TRUE(
      fails_with(ErrorCode::non_finite, {"values", "column 0"}, [&] { select_bandwidth(varies.view(), huge.view()); }));
}

}  // namespace
}  // namespace polyattn::test
