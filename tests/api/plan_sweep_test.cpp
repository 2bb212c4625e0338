// sweep(): the plan for each of several tolerances, measured once.

#include "polyattn/attention.hpp"
#include "support/expect_error.hpp"
#include "support/problem.hpp"
#include "support/tuple_call.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

SweepReport sweep_of(const Problem& problem, const std::vector<double>& tolerances, const Options& base = {}) {
  const ConstView keys[] = {problem.k.view()};
  const ConstView values[] = {problem.v.view()};
  return sweep(problem.q.view(), keys, values, tolerances, problem.options(base));
}

SweepReport sweep_of(const TupleCall& tuples, const std::vector<double>& tolerances, const Options& base = {}) {
  return sweep(tuples.q.view(), tuples.keys(), tuples.values(), tolerances, tuples.options(base));
}

/// Each row is what plan() says of that tolerance alone.
template <class Call>
void expect_as_planned(const Call& problem, const std::vector<double>& tolerances, const Options& base) {
  const SweepReport report = sweep_of(problem, tolerances, base);
  for (std::size_t t = 0; t < tolerances.size(); ++t) {
    Options options = base;
    options.tolerance.value = tolerances[t];
    const PlanReport planned = plan(problem, options).report();
    ASSERT_EQ(planned.heads.size(), report.heads.size());
    for (std::size_t h = 0; h < planned.heads.size(); ++h) {
      SCOPED_TRACE("tolerance " + std::to_string(tolerances[t]) + ", head " + std::to_string(h));
      const HeadPlan& head = planned.heads[h];
      ASSERT_EQ(report.heads[h].rows.size(), tolerances.size());
      const SweepRow& row = report.heads[h].rows[t];
      EXPECT_EQ(row.asked, tolerances[t]);
      EXPECT_EQ(row.tolerance, head.tolerance);
      EXPECT_EQ(row.engine, head.engine);
      EXPECT_EQ(row.arithmetic, head.arithmetic);
      EXPECT_EQ(row.degree, head.degree);
      EXPECT_EQ(row.rank, head.rank);
      EXPECT_EQ(row.predicted_bound, head.predicted_bound);
      EXPECT_EQ(row.predicted_seconds, head.predicted_seconds);
      EXPECT_EQ(row.exact_seconds, head.exact_seconds);
      EXPECT_EQ(row.fallback_share, head.fallback_share);
      EXPECT_EQ(row.kind, head.kind);
      EXPECT_EQ(row.why, head.why);
      EXPECT_EQ(report.heads[h].mean_answer_error, head.mean_answer_error);
      EXPECT_EQ(report.heads[h].statistics.value_range, head.statistics.value_range);
    }
  }
}

TEST(PlanSweep, SaysWhatPlanSaysInAnyOrder) {
  const Problem problem = random_problem({.heads = 2, .n_q = 6000, .n_kv = 6000, .dim = 3}, 2.0, DType::float32, 1);
  Options options;
  options.threads = 1;
  for (const ToleranceKind kind : {ToleranceKind::absolute, ToleranceKind::of_value_range}) {
    options.tolerance.kind = kind;
    expect_as_planned(problem, {1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6}, options);
  }
  expect_as_planned(problem, {1e-5, 1e-1, 0.0, 1e-3, 1e-1}, options);
}

TEST(PlanSweep, SaysWhatPlanSaysOfTuples) {
  TupleCall tuples = random_tuples({.n = {300, 280}, .n_q = 300, .dim = 4, .heads = 2}, 1.5, DType::float32, 5);
  Options options;
  options.threads = 1;
  for (const double bias : {0.0, 1.0}) {
    if (bias > 0.0) {
      add_biases(tuples, -bias, bias, 6);
    }
    for (const ToleranceKind kind : {ToleranceKind::absolute, ToleranceKind::of_value_range}) {
      options.tolerance.kind = kind;
      expect_as_planned(tuples, {1e-2, 0.0, 1e-4, 1e-13, 1e-2}, options);
    }
  }
  const std::vector<SweepRow> rows = sweep_of(tuples, {1e-2, 1e-13}, options).heads.at(0).rows;
  EXPECT_EQ(rows.front().engine, Engine::polynomial);  // so its frame is among what is measured once
  EXPECT_EQ(rows.back().engine, Engine::exact);
}

TEST(PlanSweep, IsNotMisledByKeysThatOneToleranceLeavesOut) {
  // Normal points under a narrow kernel: which keys are left out depends on the tolerance.
  Random random(2);
  std::vector<double> points(3 * 8000);
  for (double& x : points) {
    x = random.normal();
  }
  Problem problem;
  problem.q = problem.k = store(DType::float32, {1, 1, 8000, 3}, points);
  problem.v = store(DType::float32, {1, 1, 8000, 1}, std::vector<double>(points.begin(), points.begin() + 8000));
  problem.score = Gaussian{{0.9}};
  Options options;
  options.threads = 1;
  options.tolerance.kind = ToleranceKind::of_value_range;
  expect_as_planned(problem, {1e-4, 1e-1, 1e-2, 1e-3, 1e-1}, options);
  options.guarantee = Guarantee::sampled;
  expect_as_planned(problem, {1e-3, 1e-1, 1e-2}, options);
}

TEST(PlanSweep, GoesFromThePolynomialToExactAsTheToleranceFalls) {
  const Problem problem = random_problem({.n_q = 4000, .n_kv = 4000, .dim = 24}, 3.0, DType::float32, 3);
  Options options;
  options.tolerance.kind = ToleranceKind::of_value_range;
  const SweepReport report = sweep_of(problem, {1e-1, 1e-2, 1e-3, 1e-4, 1e-5}, options);
  const std::vector<SweepRow>& rows = report.heads.at(0).rows;
  EXPECT_EQ(rows.front().engine, Engine::polynomial);
  EXPECT_EQ(rows.back().engine, Engine::exact);
  EXPECT_EQ(rows.back().fallback_share, 1.0);
  for (std::size_t t = 1; t < rows.size(); ++t) {
    EXPECT_LE(rows[t - 1].predicted_seconds, rows[t].predicted_seconds);
    if (rows[t].engine == Engine::polynomial) {
      EXPECT_LE(rows[t - 1].degree, rows[t].degree);
    }
  }
  EXPECT_GT(report.planning_seconds, 0.0);
}

TEST(PlanSweep, MarksWhatNoEngineReaches) {
  const Problem problem = random_problem({.n_q = 3000, .n_kv = 3000, .dim = 3}, 2.0, DType::float32, 4);
  Options options;
  options.arithmetic = Arithmetic::float32;
  options.engine = Engine::exact;
  const SweepReport report = sweep_of(problem, {1e-2, 1e-12}, options);
  EXPECT_TRUE(report.heads.at(0).rows.at(0).reachable);
  EXPECT_FALSE(report.heads.at(0).rows.at(1).reachable);
  EXPECT_NE(describe(report).find("not reachable"), std::string::npos);
  options.arithmetic = Arithmetic::automatic;
  EXPECT_FALSE(sweep_of(problem, {1e-30}, options).heads.at(0).rows.at(0).reachable);
}

TEST(PlanSweep, RefusesListsThatMeanNothing) {
  const Problem problem = random_problem({}, 1.0, DType::float32, 5);
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"tolerances", "at least one"}, [&] { sweep_of(problem, {}); }));
  for (const double wrong : {-1e-3, kInfinity, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"tolerances"}, [&] { sweep_of(problem, {1e-3, wrong}); }));
  }
}

TEST(PlanSweep, IsATableWhoseColumnsLineUp) {
  const Problem problem = random_problem({.heads = 2, .n_q = 3000, .n_kv = 3000, .dim = 3}, 2.0, DType::float32, 6);
  const std::string text = describe(sweep_of(problem, {1e-1, 1e-3}));
  std::vector<std::size_t> widths;
  int tables = 0;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = text.find('\n', begin);
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (line.rfind("  ", 0) != 0) {
      widths.clear();
      continue;
    }
    tables += line.find("tolerance") != std::string::npos ? 1 : 0;
    widths.push_back(line.size());
    EXPECT_EQ(widths.front(), widths.back()) << text;
  }
  EXPECT_EQ(tables, 3) << text;  // two heads, and both together
  EXPECT_NE(text.find("all heads"), std::string::npos);
}

TEST(PlanSweep, OfEmptyHeadsIsEmpty) {
  const Problem none = random_problem({.heads = 0}, 1.0, DType::float32, 7);
  EXPECT_TRUE(sweep_of(none, {1e-3}).heads.empty());
  EXPECT_NE(describe(sweep_of(none, {1e-3})).find("0 heads"), std::string::npos);
  const Problem no_rows = random_problem({.n_q = 0}, 1.0, DType::float32, 8);
  EXPECT_EQ(sweep_of(no_rows, {1e-3}).heads.at(0).rows.size(), 1U);
}

}  // namespace
}  // namespace polyattn::test
