// Crossings and fits of made-up data whose answers are known.

#include "lab/threshold/crossing.hpp"
#include "lab/threshold/fit.hpp"

#include <gtest/gtest.h>
#include <cmath>
#include <limits>
#include <vector>

namespace polyattn::lab {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(Crossing, IsTheBracketOfTheFirstLoss) {
  const std::vector<Sample> samples{{3.0, 2.0}, {1.0, 0.1}, {2.0, 0.9}, {4.0, kInfinity}};
  const Crossing crossing = crossing_of(64, samples);
  EXPECT_EQ(crossing.n, 64);
  EXPECT_EQ(crossing.outcome, Outcome::crossed);
  EXPECT_EQ(crossing.low, 2.0);
  EXPECT_EQ(crossing.high, 3.0);
  EXPECT_TRUE(crossing.by_cost);
  EXPECT_DOUBLE_EQ(crossing.entries(), std::sqrt(6.0));
}

TEST(Crossing, TellsWhetherPolynomialsCostMoreOrDoNotServe) {
  EXPECT_FALSE(crossing_of(8, std::vector<Sample>{{1.0, 0.5}, {2.0, kInfinity}}).by_cost);
  EXPECT_TRUE(crossing_of(8, std::vector<Sample>{{1.0, 0.5}, {2.0, 1.0}}).by_cost);  // as dear is not cheaper
}

TEST(Crossing, ComesBackIsSaid) {
  const Crossing crossing = crossing_of(8, std::vector<Sample>{{1.0, 0.5}, {2.0, 1.5}, {3.0, 0.8}, {4.0, 2.0}});
  EXPECT_EQ(crossing.low, 1.0);
  EXPECT_EQ(crossing.high, 2.0);
  EXPECT_EQ(crossing.last_cheaper, 3.0);
}

TEST(Crossing, SmallBThatLoseDoNotCount) {
  const Crossing crossing = crossing_of(8, std::vector<Sample>{{1.0, 1.5}, {2.0, 0.5}, {3.0, 1.5}});
  EXPECT_EQ(crossing.low, 2.0);
  EXPECT_EQ(crossing.high, 3.0);
}

TEST(Crossing, MayNotBeThere) {
  EXPECT_EQ(crossing_of(8, {}).outcome, Outcome::unknown);
  const Crossing always = crossing_of(8, std::vector<Sample>{{1.0, 0.5}, {2.0, 0.6}});
  EXPECT_EQ(always.outcome, Outcome::always);
  EXPECT_TRUE(std::isnan(always.entries()));
  const Crossing never = crossing_of(8, std::vector<Sample>{{1.0, 1.5}, {2.0, kInfinity}});
  EXPECT_EQ(never.outcome, Outcome::never);
  EXPECT_TRUE(std::isnan(never.entries()));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(crossing_of(8, std::vector<Sample>{{1.0, nan}}).outcome, Outcome::unknown);
}

TEST(Crossing, OfMeasurementsNeedsMeasurements) {
  Point served;
  served.n = 64;
  served.entries = 1.0;
  served.degree = 2;
  served.polynomial_seconds = 3.0;
  served.exact_seconds = 1.0;
  Point beyond = served;
  beyond.entries = 2.0;
  beyond.degree = -1;
  beyond.polynomial_seconds = kAbsent;
  std::vector<Point> points{served, beyond};
  EXPECT_EQ(predicted_crossing(64, points).outcome, Outcome::never);
  EXPECT_EQ(measured_crossing(64, points).outcome, Outcome::unknown);
  points[0].polynomial_measured = 0.5;
  points[0].exact_measured = points[1].exact_measured = 1.0;
  const Crossing measured = measured_crossing(64, points);
  EXPECT_EQ(measured.outcome, Outcome::crossed);
  EXPECT_EQ(measured.low, 1.0);
  EXPECT_EQ(measured.high, 2.0);
  EXPECT_FALSE(measured.by_cost);
  EXPECT_EQ(measured_crossing(128, points).outcome, Outcome::unknown);
}

std::vector<Threshold> power(double constant, double exponent, double wobble = 0.0) {
  std::vector<Threshold> thresholds;
  for (int i = 0; i < 11; ++i) {
    const double log_n = (10 + i) * std::log(2.0);
    thresholds.push_back({log_n, constant * std::pow(log_n, exponent) * std::exp(i % 2 == 0 ? wobble : -wobble)});
  }
  return thresholds;
}

TEST(PowerFit, FindsAPowerLaw) {
  const Fit fit = fit_power(power(1.25, 0.5));
  EXPECT_EQ(fit.points, 11);
  // Logarithms and sums of 11 numbers, each off by a few units of 2^-53, over a spread of 0.7 in ln ln n.
  EXPECT_NEAR(fit.exponent, 0.5, 1e-13);
  EXPECT_NEAR(fit.constant, 1.25, 1e-13);
  EXPECT_LT(fit.residual, 1e-14);
  EXPECT_NEAR(theory_constant(power(1.25, 0.5), 2), 1.25, 1e-13);
  EXPECT_EQ(judge(fit_power(power(1.0, 1.0 / 3.0, 0.01)), 3), Verdict::agrees);
}

TEST(PowerFit, KnowsTheTextbookLine) {
  // ln B = 0, 1, 1 at ln ln n = 0, 1, 2: slope 1/2, residuals -1/6, 1/3, -1/6, t(1) = 12.706.
  const std::vector<Threshold> thresholds{
      {std::exp(0.0), 1.0}, {std::exp(1.0), std::exp(1.0)}, {std::exp(2.0), std::exp(1.0)}};
  const Fit fit = fit_power(thresholds);
  EXPECT_NEAR(fit.exponent, 0.5, 1e-14);
  EXPECT_NEAR(fit.constant, std::exp(1.0 / 6.0), 1e-14);
  EXPECT_NEAR(fit.residual, std::sqrt(1.0 / 18.0), 1e-14);
  const double half = 12.706 * std::sqrt(1.0 / 6.0 / 2.0);
  EXPECT_NEAR(fit.low, 0.5 - half, 1e-13);
  EXPECT_NEAR(fit.high, 0.5 + half, 1e-13);
  EXPECT_EQ(judge(fit, 2), Verdict::nothing);
}

TEST(PowerFit, SaysWhenItSaysNothing) {
  EXPECT_EQ(judge(fit_power({}), 2), Verdict::nothing);
  const std::vector<Threshold> two{{7.0, 1.0}, {8.0, 1.1}};
  EXPECT_EQ(judge(fit_power(two), 2), Verdict::nothing);
  EXPECT_NE(words(fit_power(two), 2).find("says nothing"), std::string::npos);
  const std::vector<Threshold> same{{7.0, 1.0}, {7.0, 1.1}, {7.0, 1.2}};
  EXPECT_TRUE(std::isnan(fit_power(same).exponent));
  EXPECT_EQ(judge(fit_power(power(1.0, 0.5, 1.0)), 2), Verdict::nothing);
  EXPECT_NE(words(fit_power(power(1.0, 0.5, 1.0)), 2).find("says nothing"), std::string::npos);
}

TEST(PowerFit, TellsSlowerFromFaster) {
  EXPECT_EQ(judge(fit_power(power(1.0, 0.2, 0.01)), 2), Verdict::slower);
  EXPECT_EQ(judge(fit_power(power(1.0, 0.8, 0.01)), 2), Verdict::faster);
}

}  // namespace
}  // namespace polyattn::lab
