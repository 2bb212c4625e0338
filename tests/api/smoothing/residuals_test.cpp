// What is made of attention's answers, given answers as wrong as their bounds allow, in binary128.

#include "api/leave_one_out.hpp"
#include "api/smoothing/cloud.hpp"
#include "api/standard_error.hpp"
#include "support/judge.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace polyattn::test {
namespace {

constexpr double kUnit = 0x1p-53;

/// Several blocks of rows, every answer off by its bound, away from the value or towards it.
TEST(Residuals, BoundsHoldForTheWorstAnswers) {
  Random random(3);
  double worst = 0.0;
  for (int trial = 0; trial < 40; ++trial) {
    const std::int64_t n = trial < 4 ? 2500 : random.integer(1, 30);
    const std::int64_t columns = random.integer(1, 3);
    const double size = random.chance(0.2) ? 2e-162 : random.log_uniform(1e-160, 1e150);  // squares of 2e-162 vanish
    const double off = random.chance(0.3) ? 0.0 : random.log_uniform(1e-16, 1.0) * size;
    const double side = random.chance(0.3) ? 0.0 : random.sign();  // 0: any
    std::vector<double> values;
    std::vector<double> answers;
    std::vector<double> bounds;
    std::vector<double> lse;
    std::vector<Quad> truth(static_cast<std::size_t>(columns), Quad(0));
    std::int64_t scored = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      bounds.push_back(off * random.unit());
      lse.push_back(random.chance(0.1) ? -708.5 : random.chance(0.1) ? -kInfinity : random.uniform(-708.0, 10.0));
      const bool counts = lse.back() >= -708.3;
      scored += counts ? 1 : 0;
      for (std::int64_t c = 0; c < columns; ++c) {
        values.push_back(size * random.normal());
        answers.push_back(random.chance(0.1) ? values.back() : values.back() + 0.3 * size * random.normal());
        const double away = answers.back() >= values.back() ? 1.0 : -1.0;
        const Quad exact =
            static_cast<Quad>(answers.back()) +
            static_cast<Quad>(side == 0.0 ? random.uniform(-1.0, 1.0) : side * away) * static_cast<Quad>(bounds.back());
        const Quad residual = static_cast<Quad>(values.back()) - exact;
        truth[static_cast<std::size_t>(c)] += counts ? residual * residual : Quad(0);
      }
    }
    const LeaveOneOut out =
        api::residuals_of(matrix<double>(values.data(), n, columns), matrix<double>(answers.data(), n, columns),
                          bounds.data(), lse.data(), api::kLeastWeight, 1 + trial % 2);
    ASSERT_EQ(out.scored, scored);
    ASSERT_EQ(out.unscored, n - scored);
    for (std::size_t c = 0; c < truth.size(); ++c) {
      if (scored == 0) {
        EXPECT_EQ(out.variance[c], kInfinity);
        continue;
      }
      const double of_column =
          clearance(distance(out.variance[c], truth[c] / static_cast<Quad>(static_cast<double>(scored)),
                             static_cast<double>(truth[c])),
                    out.variance_bound[c]);
      EXPECT_LE(of_column, 1.0) << "trial " << trial;
      worst = std::max(worst, of_column);
    }
  }
  EXPECT_GT(worst, 0.9) << "errors of one sign add up: the bound is as sharp as that";
  std::printf("worst-clearance (measured / certified), residuals: %.3f\n", worst);
}

/// log sum w^2 at the rounded bandwidth H / sqrt 2 against that of the squared weights: the lemma of
/// docs/proofs/smoothing.md, section 2, whose bound standard_errors adds.
TEST(StandardError, RoundingTheBandwidthIsWithinTheLemma) {
  Random random(4);
  double worst = 0.0;
  for (int trial = 0; trial < 200; ++trial) {
    Cloud cloud = random_cloud({.n = random.integer(1, 20), .d = 1 + trial % 3, .m = 1}, random);
    for (double& h : cloud.bandwidth) {
      h *= random.log_uniform(1e-6, 2.0);
    }
    const double* query = cloud.queries.row(0, 0, 0);
    const Quad truth = true_row(cloud, query).squared;
    Cloud narrow = cloud;
    narrow.bandwidth = api::squared_weights_bandwidth(cloud.bandwidth);
    const Quad rounded = true_row(narrow, query).lse;
    const double away = std::log(static_cast<double>(cloud.n())) - static_cast<double>(rounded);
    const double measured = static_cast<double>(magnitude(rounded - truth));
    const double of_trial =
        clearance(std::max(0.0, measured - 0x1p-100 * (away + 1.0)), 9.0 * kUnit * std::max(0.0, away));
    EXPECT_LE(of_trial, 1.0);
    worst = std::max(worst, of_trial);
  }
  EXPECT_GT(worst, 0.2) << "the rounding is there";
  std::printf("worst-clearance (measured / certified), bandwidth over root 2: %.3f\n", worst);
}

/// The same through standard_errors, where all else is known to the last bit.
TEST(StandardError, ChargesTheRoundedBandwidth) {
  Random random(5);
  double worst = 0.0;
  for (int trial = 0; trial < 200; ++trial) {
    Cloud cloud = random_cloud({.n = random.integer(1, 20), .d = 1 + trial % 3, .m = 1}, random);
    for (double& h : cloud.bandwidth) {
      h *= random.log_uniform(1e-6, 1e-3);
    }
    const double* query = cloud.queries.row(0, 0, 0);
    Cloud narrow = cloud;
    narrow.bandwidth = api::squared_weights_bandwidth(cloud.bandwidth);
    const TrueRow truth = true_row(cloud, query);
    const Quad rounded = true_row(narrow, query).lse;
    const auto lse = static_cast<double>(truth.lse);
    const auto squared = static_cast<double>(rounded);
    const double b1 = static_cast<double>(magnitude(truth.lse - static_cast<Quad>(lse))) * (1.0 + 0x1p-50);
    const double b2 = static_cast<double>(magnitude(rounded - static_cast<Quad>(squared))) * (1.0 + 0x1p-50);
    LeaveOneOut residuals;
    residuals.variance = {1.0};
    residuals.variance_bound = {0.0};
    double error = 0.0;
    double bound = 0.0;
    api::standard_errors(residuals, {&lse, &b1, &squared, &b2}, cloud.n(), 1, &error, &bound, 1);
    const double of_trial = clearance(distance(error, exp_of(truth.squared / 2 - truth.lse), 1.0), bound);
    EXPECT_LE(of_trial, 1.0) << "trial " << trial;
    worst = std::max(worst, of_trial);
  }
  std::printf("worst-clearance (measured / certified), standard errors far out: %.3f\n", worst);
}

/// Denominators and variances anywhere within their bounds.
TEST(StandardError, BoundsHoldForTheWorstDenominators) {
  Random random(6);
  double worst = 0.0;
  for (int trial = 0; trial < 2000; ++trial) {
    const double n = 1.0 + std::floor(random.log_uniform(1.0, 1e6));
    // sum w = S, sum w^2 between S^2/n and S^2
    const double lse = -random.log_uniform(1e-3, random.chance(0.3) ? 1e9 : 700.0);
    const double squared = 2.0 * lse - random.unit() * std::log(n);
    const double b1 = random.chance(0.2) ? 0.0 : random.log_uniform(1e-16, 3.0);
    const double b2 = random.chance(0.2) ? 0.0 : random.log_uniform(1e-16, 3.0);
    LeaveOneOut residuals;
    residuals.variance = {random.log_uniform(1e-20, 1e20)};
    residuals.variance_bound = {residuals.variance[0] * (random.chance(0.2) ? 2.0 : random.log_uniform(1e-16, 1.0))};
    double error = 0.0;
    double bound = 0.0;
    api::standard_errors(residuals, {&lse, &b1, &squared, &b2}, static_cast<std::int64_t>(n), 1, &error, &bound, 1);
    for (const double side : {-1.0, 1.0}) {
      const Quad exponent = (static_cast<Quad>(squared) + static_cast<Quad>(side * b2)) / 2 - static_cast<Quad>(lse) +
                            static_cast<Quad>(side * b1);
      const Quad variance =
          static_cast<Quad>(residuals.variance[0]) + static_cast<Quad>(side * residuals.variance_bound[0]);
      const Quad truth = root(variance) * exp_of(exponent);
      const double of_side = clearance(distance(error, truth, static_cast<double>(truth)), bound);
      EXPECT_LE(of_side, 1.0) << "trial " << trial;
      worst = std::max(worst, of_side);
    }
  }
  EXPECT_GT(worst, 0.99);
  std::printf("worst-clearance (measured / certified), standard errors: %.3f\n", worst);
}

}  // namespace
}  // namespace polyattn::test
