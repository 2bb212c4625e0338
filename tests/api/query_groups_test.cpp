// Queries in groups: the choice is made where it pays, and its answers keep their bounds.

#include "polyattn/polyattn.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

/// Points along a curve in the plane, smoothed with a bandwidth far below its length: no single polynomial serves that,
/// while queries near each other see a short piece of it.
struct Curve {
  static constexpr std::int64_t kPoints = 60'000;
  std::vector<double> points = std::vector<double>(2 * kPoints);
  std::vector<double> values = std::vector<double>(2 * kPoints);
  Options options;

  Curve() {
    Random random(1);
    for (std::int64_t i = 0; i < kPoints; ++i) {
      const double t = random.uniform(-8.0, 8.0);
      const auto at = static_cast<std::size_t>(2 * i);
      points[at] = t + 0.05 * random.normal();
      points[at + 1] = std::sin(t) + 0.05 * random.normal();
      values[at] = std::sin(2.0 * t) + 0.1 * random.normal();
      values[at + 1] = 5.0 + std::cos(t);
    }
    options.score = Gaussian{{1.2}};
    options.tolerance = {1e-3, ToleranceKind::of_value_range};
    options.want_row_bounds = options.want_row_engine = true;
    options.threads = 1;
    options.arithmetic = Arithmetic::float32;  // which the grid does not have: it would be cheaper still
  }
  [[nodiscard]] ConstView tokens() const { return matrix(points.data(), kPoints, 2); }
  [[nodiscard]] std::array<ConstView, 1> keys() const { return {tokens()}; }
  [[nodiscard]] std::array<ConstView, 1> vectors() const { return {matrix(values.data(), kPoints, 2)}; }
  [[nodiscard]] Result attend(const Options& with) const { return polyattn::attend(tokens(), keys(), vectors(), with); }
};

const double* doubles(const Tensor& tensor) { return static_cast<const double*>(tensor.view().data); }

bool in_groups(const std::string& why) { return why.find("groups") != std::string::npos; }

TEST(QueryGroups, AreTakenWhereTheyPay) {
  const Curve curve;
  const Plan planned = plan(curve.tokens(), curve.keys(), curve.vectors(), curve.options);
  const HeadPlan& head = planned.report().heads.front();
  EXPECT_EQ(head.engine, Engine::polynomial);
  EXPECT_TRUE(in_groups(head.why)) << head.why;
  int chosen = 0;
  double whole = HUGE_VAL;  // the best candidate without groups
  for (const Candidate& candidate : head.candidates) {
    chosen += candidate.chosen ? 1 : 0;
    if (candidate.usable && !candidate.chosen) {
      whole = std::min(whole, candidate.seconds);
    }
  }
  EXPECT_EQ(chosen, 1);
  EXPECT_LT(head.predicted_seconds, whole);
  Options pinned = curve.options;
  pinned.degree = 8;
  EXPECT_FALSE(in_groups(plan(curve.tokens(), curve.keys(), curve.vectors(), pinned).report().heads.front().why));
}

TEST(QueryGroups, AnswersAreWithinTheirBounds) {
  const Curve curve;
  Options options = curve.options;
  options.want_lse = true;
  const Result result = curve.attend(options);
  const HeadReport& head = result.report.heads.front();
  ASSERT_TRUE(in_groups(head.why)) << head.why;
  EXPECT_GT(head.rows_polynomial, Curve::kPoints / 2);
  EXPECT_EQ(head.rows_polynomial + head.rows_exact, Curve::kPoints);
  EXPECT_LE(head.certificate.bound(), head.tolerance);
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < 300; ++i) {
    rows.push_back(i * Curve::kPoints / 300 + i % 7);
  }
  const Result exact = attend_rows(curve.tokens(), curve.keys(), curve.vectors(), rows, options);
  double worst = 0.0;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto row = static_cast<std::size_t>(rows[r]);
    const double allowed = doubles(*result.row_bounds)[row] + doubles(*exact.row_bounds)[r];
    for (std::size_t c = 0; c < 2; ++c) {
      const double error = std::fabs(doubles(result.output)[2 * row + c] - doubles(exact.output)[2 * r + c]);
      ASSERT_LE(error, allowed) << "row " << row << ", column " << c;
      worst = std::max(worst, error / allowed);
    }
    const double lse = std::fabs(doubles(*result.lse)[row] - doubles(*exact.lse)[r]);
    ASSERT_LE(lse, doubles(*result.lse_bound)[row] + doubles(*exact.lse_bound)[r]) << "row " << row;
  }
  EXPECT_GT(worst, 0.0);
}

TEST(QueryGroups, AreTheSameBitsForAnyNumberOfThreads) {
  const Curve curve;
  const Result one = curve.attend(curve.options);
  ASSERT_TRUE(in_groups(one.report.heads.front().why));
  for (const int threads : {2, 5}) {
    Options options = curve.options;
    options.threads = threads;
    const Result other = curve.attend(options);
    EXPECT_EQ(one.row_engine, other.row_engine);
    for (std::size_t i = 0; i < 2 * static_cast<std::size_t>(Curve::kPoints); ++i) {
      ASSERT_EQ(doubles(one.output)[i], doubles(other.output)[i]) << i;
    }
  }
}

TEST(QueryGroups, SweepsSayWhatPlansSay) {
  const Curve curve;
  const std::array tolerances{1e-2, 1e-3};
  const SweepReport swept = sweep(curve.tokens(), curve.keys(), curve.vectors(), tolerances, curve.options);
  for (std::size_t i = 0; i < tolerances.size(); ++i) {
    Options options = curve.options;
    options.tolerance.value = tolerances[i];
    const HeadPlan planned = plan(curve.tokens(), curve.keys(), curve.vectors(), options).report().heads.front();
    EXPECT_EQ(swept.heads.front().rows.at(i).degree, planned.degree) << planned.why;
    EXPECT_EQ(swept.heads.front().rows.at(i).predicted_seconds, planned.predicted_seconds) << planned.why;
  }
}

TEST(QueryGroups, KeepToTheMemoryAllowed) {
  const Curve curve;
  Options options = curve.options;
  options.max_memory = 2'000'000;  // not enough to copy the queries
  EXPECT_FALSE(in_groups(plan(curve.tokens(), curve.keys(), curve.vectors(), options).report().heads.front().why));
}

}  // namespace
}  // namespace polyattn::test
