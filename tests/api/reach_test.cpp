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

TEST(Reach, LogSumExpIsChargedToo) {
  const Problem problem = smoothing(20000, 0.6);
  Options options;
  options.tolerance = Tolerance{1e-3};
  options.want_lse = true;
  const Result fast = attend(problem, options);
  ASSERT_EQ(fast.report.heads.at(0).engine, Engine::polynomial);
  Options exact;
  exact.engine = Engine::exact;
  exact.want_lse = true;
  const Result truth = attend(problem, exact);
  const std::vector<double> a = values_of(fast.lse.value());
  const std::vector<double> b = values_of(truth.lse.value());
  const std::vector<double> bound = values_of(fast.lse_bound.value());
  const std::vector<double> own = values_of(truth.lse_bound.value());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_LE(std::fabs(a[i] - b[i]), bound[i] + own[i]) << i;
  }
}

}  // namespace
}  // namespace polyattn::test
