// Far keys left out by the planner: smoothing at narrow bandwidths, where the farthest point alone decides the radius.

#include "polyattn/attention.hpp"
#include "support/problem.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <vector>

namespace polyattn::test {
namespace {

/// n points in space, one in fifty of them far out, with a smooth value.
Problem smoothing(std::int64_t n, double bandwidth) {
  Random random(7);
  std::vector<double> points;
  std::vector<double> values;
  for (std::int64_t i = 0; i < n; ++i) {
    const double stretch = random.chance(0.02) ? random.uniform(2.0, 12.0) : 1.0;
    const double x = stretch * random.uniform(-1.0, 1.0);
    const double y = stretch * random.uniform(-1.0, 1.0);
    points.insert(points.end(), {x, y, stretch * random.uniform(-1.0, 1.0)});
    values.push_back(std::sin(2.0 * x) * std::cos(y));
  }
  Problem problem;
  problem.q = store(DType::float64, {1, 1, n, 3}, points);
  problem.k = problem.q;
  problem.v = store(DType::float64, {1, 1, n, 1}, values);
  problem.score = Gaussian{{bandwidth}};
  return problem;
}

TEST(Reach, FarKeysAreLeftOutWhereTheyWeighNothing) {
  const Problem problem = smoothing(20000, 0.6);
  Options options;
  options.tolerance = Tolerance{1e-3};
  options.engine = Engine::polynomial;  // a grid may be cheaper
  options.want_row_bounds = true;
  const Result fast = attend(problem, options);
  const HeadReport& head = fast.report.heads.at(0);
  ASSERT_EQ(head.engine, Engine::polynomial) << head.why;
  EXPECT_GT(head.rows_polynomial, 18000);
  Options elsewhere;
  elsewhere.engine = Engine::exact;
  const double whole = plan(problem, elsewhere).report().heads.at(0).statistics.radius_after;
  EXPECT_LT(head.radius_after, 0.5 * whole);
  Options exact;
  exact.engine = Engine::exact;
  exact.want_row_bounds = true;
  const Result truth = attend(problem, exact);
  const std::vector<double> a = values_of(fast.output);
  const std::vector<double> b = values_of(truth.output);
  const std::vector<double> bound = values_of(fast.row_bounds.value());
  const std::vector<double> own = values_of(truth.row_bounds.value());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_LE(std::fabs(a[i] - b[i]), bound[i] + own[i]) << i;
    ASSERT_LE(bound[i], head.tolerance) << i;
  }
}

/// Largest |difference| over the sum of both bounds.
double worst_of(const Tensor& a, const Tensor& b, const Tensor& bound_a, const Tensor& bound_b) {
  const std::vector<double> x = values_of(a);
  const std::vector<double> y = values_of(b);
  const std::vector<double> of_x = values_of(bound_a);
  const std::vector<double> of_y = values_of(bound_b);
  double worst = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double ratio = std::fabs(x[i] - y[i]) / (of_x[i] + of_y[i]);
    worst = ratio <= worst ? worst : ratio;  // NaN stays
  }
  return worst;
}

TEST(Reach, BoundsHoldWhateverIsLeftOut) {
  for (const double bandwidth : {0.3, 0.45, 0.9, 2.0}) {
    const Problem problem = smoothing(12000, bandwidth);
    for (const double tolerance : {1e-1, 1e-2, 1e-4}) {
      Options options;
      options.tolerance = Tolerance{tolerance};
      options.want_lse = true;
      options.want_row_bounds = true;
      const Result fast = attend(problem, options);
      options.engine = Engine::exact;
      options.tolerance = {};
      const Result truth = attend(problem, options);
      EXPECT_LE(worst_of(fast.output, truth.output, fast.row_bounds.value(), truth.row_bounds.value()), 1.0)
          << bandwidth << " " << tolerance;
      EXPECT_LE(worst_of(fast.lse.value(), truth.lse.value(), fast.lse_bound.value(), truth.lse_bound.value()), 1.0)
          << bandwidth << " " << tolerance;
    }
  }
}

}  // namespace
}  // namespace polyattn::test
