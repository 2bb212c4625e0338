// What is chosen for a head of order k, that execution does what the plan says, and what reports tell.

#include "support/expect_error.hpp"
#include "support/tuple_call.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

/// Exact takes some ten milliseconds, polynomials much less.
TupleCall large(DType dtype = DType::float32) {
  return random_tuples({.n = {300, 260}, .n_q = 280, .dim = 4, .value_dim = 3}, 1.0, dtype, 1);
}

Options within(double tolerance) {
  Options options;
  options.tolerance.value = tolerance;
  options.want_row_engine = options.want_row_bounds = true;
  return options;
}

/// A few rows against their definition: `rows` of the first head.
void expect_rows_hold(const TupleCall& tuples, const Result& result) {
  const std::vector<std::int64_t> rows{0, 17, tuples.q.shape[2] - 1};
  const Result exact = attend_rows(tuples.q.view(), tuples.keys(), tuples.values(), rows, tuples.options());
  const std::vector<double> truth = values_of(exact.output);
  const std::vector<double> doubt = values_of(exact.row_bounds.value());
  const std::vector<double> output = values_of(result.output);
  const std::vector<double> bounds = values_of(result.row_bounds.value());
  const auto columns = static_cast<std::size_t>(tuples.v.front().shape[3]);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto row = static_cast<std::size_t>(rows[r]);
    for (std::size_t c = 0; c < columns; ++c) {
      EXPECT_LE(std::fabs(output[row * columns + c] - truth[r * columns + c]), bounds[row] + doubt[r]);
    }
  }
}

TEST(TuplePlan, ToleranceZeroIsExactInTheInputsOwnType) {
  for (const DType dtype : {DType::bfloat16, DType::float32, DType::float64}) {
    const TupleCall tuples = random_tuples({.n = {20, 30}}, 1.0, dtype, 2);
    const Result result = attend(tuples, within(0.0));
    const HeadReport& head = result.report.heads.front();
    EXPECT_EQ(head.engine, Engine::exact);
    EXPECT_EQ(head.arithmetic, dtype == DType::float64 ? Arithmetic::float64 : Arithmetic::float32);
    EXPECT_EQ(head.rows_exact, 4);
    EXPECT_EQ(head.order, 3);
    EXPECT_TRUE(std::isfinite(head.certificate.relative));
  }
}

TEST(TuplePlan, PolynomialsWhereTheyAreCheaper) {
  const TupleCall tuples = large();
  const Result result = attend(tuples, within(1e-3));
  const HeadReport& head = result.report.heads.front();
  EXPECT_EQ(head.engine, Engine::polynomial) << describe(result.report);
  EXPECT_EQ(head.rows_polynomial + head.rows_exact, 280);
  EXPECT_GE(head.degree, 1);
  EXPECT_GT(head.rank, 1);
  EXPECT_LE(head.certificate.bound(), 1e-3);
  EXPECT_GT(head.certificate.approximation, 0.0);
  EXPECT_GT(head.radius_before, 0.0);
  EXPECT_LE(head.radius_after, head.radius_before * (1.0 + 1e-9));
  EXPECT_GT(head.smallest_denominator, 0.0);
  EXPECT_GT(head.mean_answer_error, 0.0);
  EXPECT_GT(head.value_range, 0.0);
  EXPECT_GT(head.predicted_seconds, 0.0);
  EXPECT_GT(result.report.peak_bytes, 0U);
  for (const Engine engine : result.row_engine) {
    EXPECT_EQ(engine, Engine::polynomial);
  }
  expect_rows_hold(tuples, result);
}

TEST(TuplePlan, ExecutionDoesWhatThePlanSays) {
  const TupleCall tuples = large(DType::float64);
  for (const double tolerance : {0.0, 1e-2, 1e-4, 1e-9}) {
    const Plan made = plan(tuples, within(tolerance));
    const HeadPlan& head = made.report().heads.front();
    const Result direct = attend(tuples, within(tolerance));
    const Result planned = made.execute();
    EXPECT_EQ(bits_of(direct.output), bits_of(planned.output)) << tolerance;
    EXPECT_EQ(planned.report.heads.front().engine, head.engine);
    if (head.engine == Engine::polynomial) {
      EXPECT_EQ(planned.report.heads.front().arithmetic, head.arithmetic);
      EXPECT_GE(planned.report.heads.front().degree, head.degree);
    }
    EXPECT_EQ(head.order, 3);
    EXPECT_EQ(head.statistics.keys_per_set, (std::vector<std::int64_t>{300, 260}));
    EXPECT_EQ(head.statistics.keys, 560);
    EXPECT_EQ(head.statistics.queries, 280);
    EXPECT_EQ(std::count_if(head.candidates.begin(), head.candidates.end(), [](const auto& c) { return c.chosen; }), 1);
    for (const Candidate& candidate : head.candidates) {
      EXPECT_FALSE(candidate.reason.empty());
    }
    EXPECT_GT(head.exact_seconds, 0.0);
    EXPECT_EQ(head.mean_answer_rows, 64);
  }
}

TEST(TuplePlan, CandidatesWithReasonsInWords) {
  const TupleCall tuples = large();
  const Plan made = plan(tuples, within(1e-3));
  const std::string words = describe(made.report());
  for (const char* part : {"order 3", "280 queries x 300 x 260 keys", "* polynomial", "exact float32", "exact float64",
                           "dearer than the choice", "after scaling the axes", "the constant answer mean(V)"}) {
    EXPECT_NE(words.find(part), std::string::npos) << part << " in\n" << words;
  }
  const std::string report = describe(made.execute().report);
  for (const char* part : {"order 3", "certified |error|", "rows: 280, polynomial 280"}) {
    EXPECT_NE(report.find(part), std::string::npos) << part << " in\n" << report;
  }
}

TEST(TuplePlan, ToleranceOfTheValueRangeIsOfTheProducts) {
  // Columns of values in [-2, 1] and [-1, 3]: products between -6 and 3.
  TupleCall tuples = random_tuples({.n = {3, 2}, .dim = 2, .value_dim = 1}, 1.0, DType::float64, 3);
  tuples.v = {store(DType::float64, {1, 1, 3, 1}, {-2.0, 0.5, 1.0}), store(DType::float64, {1, 1, 2, 1}, {-1.0, 3.0})};
  Options options = within(1e-3);
  options.tolerance.kind = ToleranceKind::of_value_range;
  const HeadReport head = attend(tuples, options).report.heads.front();
  EXPECT_DOUBLE_EQ(head.value_range, 9.0);
  EXPECT_DOUBLE_EQ(head.tolerance, 9e-3);
  // The mean of all products, each weighing the same.
  const double mean = (-0.5 / 3.0) * 1.0;
  const std::vector<double> output = values_of(attend(tuples, options).output);
  double farthest = 0.0;
  for (const double x : output) {
    farthest = std::max(farthest, std::fabs(x - mean));
  }
  EXPECT_NEAR(head.mean_answer_error, farthest, 1e-15);
}

TEST(TuplePlan, MeanIsWeightedByTheBiases) {
  TupleCall tuples = random_tuples({.n = {2, 2}, .n_q = 1, .dim = 1, .value_dim = 1}, 0.0, DType::float64, 4);
  tuples.v = {store(DType::float64, {1, 1, 2, 1}, {0.0, 4.0}), store(DType::float64, {1, 1, 2, 1}, {1.0, 2.0})};
  tuples.bias = {store(DType::float64, {1, 1, 2, 1}, {0.0, std::log(3.0)}),
                 store(DType::float64, {1, 1, 2, 1}, {-kInfinity, 0.0})};
  // Scores are 0: the answer is the weighted mean itself, 3 * 2.
  const Result result = attend(tuples, within(0.0));
  EXPECT_NEAR(values_of(result.output).front(), 6.0, 1e-12);
  EXPECT_NEAR(result.report.heads.front().mean_answer_error, 0.0, 1e-12);
}

TEST(TuplePlan, ForcedEnginesAndPinnedArithmetic) {
  const TupleCall tuples = random_tuples({.n = {40, 30}, .n_q = 20}, 1.0, DType::float32, 5);
  for (const Engine engine : {Engine::reference, Engine::exact, Engine::polynomial}) {
    Options options = within(1e-3);
    options.engine = engine;
    options.strict = true;
    const Result result = attend(tuples, options);
    EXPECT_EQ(result.report.heads.front().engine, engine);
    EXPECT_EQ(result.report.heads.front().why, "asked for by name");
    for (const Engine row : result.row_engine) {
      EXPECT_EQ(row, engine);
    }
    expect_rows_hold(tuples, result);
  }
  for (const Arithmetic arithmetic : {Arithmetic::float32, Arithmetic::float64}) {
    for (const Engine engine : {Engine::exact, Engine::polynomial}) {
      Options options = within(1e-3);
      options.engine = engine;
      options.arithmetic = arithmetic;
      EXPECT_EQ(attend(tuples, options).report.heads.front().arithmetic, arithmetic) << name_of(engine);
    }
  }
}

TEST(TuplePlan, APinnedDegreeHandsOverWhatItCannotCertify) {
  const TupleCall tuples = random_tuples({.n = {40, 30}, .n_q = 20}, 2.0, DType::float64, 6);
  Options options = within(1e-6);
  options.engine = Engine::polynomial;
  options.degree = 2;
  const Result result = attend(tuples, options);
  const HeadReport& head = result.report.heads.front();
  EXPECT_EQ(head.degree, 2);
  EXPECT_GT(head.rows_exact, 0);
  EXPECT_LE(head.certificate.bound(), 1e-6);
  EXPECT_TRUE(within_bounds(tuples, options));
  options.strict = true;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"tolerance", "polynomial alone", "of 20 rows"},
                         [&] { attend(tuples, options); }));
}

TEST(TuplePlan, LargeScoresGoToExact) {
  const TupleCall tuples = random_tuples({.n = {40, 30}, .n_q = 50, .dim = 6}, 400.0, DType::float64, 7);
  Options options = within(1e-3);
  EXPECT_EQ(attend(tuples, options).report.heads.front().engine, Engine::exact);
  options.engine = Engine::polynomial;
  const Result forced = attend(tuples, options);
  EXPECT_LE(forced.report.heads.front().certificate.bound(), 1e-3);
  EXPECT_TRUE(within_bounds(tuples, options));
}

TEST(TuplePlan, ToleranceThatNoArithmeticReaches) {
  const TupleCall tuples = random_tuples({.n = {20, 30}}, 1.0, DType::float64, 8);
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"tolerance", "1e-18", "exact in float64"},
                         [&] { attend(tuples, within(1e-18)); }));
  Options narrow = within(1e-9);
  narrow.arithmetic = Arithmetic::float32;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"exact in float32"}, [&] { attend(tuples, narrow); }));
  narrow.arithmetic = Arithmetic::automatic;
  EXPECT_EQ(attend(tuples, narrow).report.heads.front().arithmetic, Arithmetic::float64);
}

TEST(TuplePlan, ToleranceOnLogSumExp) {
  const TupleCall tuples = large(DType::float64);
  Options options = within(1e-2);
  options.lse_tolerance = 1e-6;
  options.want_lse = true;
  const Result result = attend(tuples, options);
  EXPECT_LE(result.report.heads.front().lse_bound, 1e-6);
  for (const double bound : values_of(result.lse_bound.value())) {
    EXPECT_LE(bound, 1e-6);
  }
}

TEST(TuplePlan, ToleranceOnLogSumExpThatNoArithmeticReaches) {
  TupleCall tuples = random_tuples({.n = {20, 30}}, 1.0, DType::float64, 8);
  Options options = within(1e-3);
  options.lse_tolerance = 1e-20;
  const auto fails = [&] {
    return fails_with(ErrorCode::not_reachable, {"lse_tolerance: 1e-20", "exact in float64", "bound there is"},
                      [&] { attend(tuples, options); });
  };
  EXPECT_TRUE(fails());
  for (Stored& v : tuples.v) {  // whose range of 0 asks for nothing of the output
    v = store(DType::float64, v.shape, std::vector<double>(v.values.size(), 0.5));
  }
  EXPECT_TRUE(fails());
}

TEST(TuplePlan, RowMaximumComesFromExact) {
  const TupleCall tuples = large();
  Options options = within(1e-3);
  options.want_row_max = true;
  const Result result = attend(tuples, options);
  EXPECT_EQ(result.report.heads.front().engine, Engine::exact);
  EXPECT_EQ(result.report.heads.front().why, "the row maximum comes from exact only");
  EXPECT_TRUE(result.row_max.has_value());
}

TEST(TuplePlan, ValuesThatDoNotVary) {
  TupleCall tuples = random_tuples({.n = {9, 8}}, 1.0, DType::float32, 9);
  for (Stored& v : tuples.v) {
    v = store(DType::float32, v.shape, std::vector<double>(v.values.size(), 0.5));
  }
  Options options = within(1e-3);
  options.tolerance.kind = ToleranceKind::of_value_range;
  const HeadReport head = attend(tuples, options).report.heads.front();
  EXPECT_EQ(head.value_range, 0.0);
  EXPECT_EQ(head.arithmetic, Arithmetic::float64);
}

TEST(TupleSweep, IsOnePlanForEachTolerance) {
  const TupleCall tuples = large();
  const std::array tolerances{0.0, 1e-2, 1e-4, 1e-18};
  const SweepReport report = sweep(tuples.q.view(), tuples.keys(), tuples.values(), tolerances, tuples.options());
  ASSERT_EQ(report.heads.size(), 1U);
  EXPECT_EQ(report.heads.front().order, 3);
  EXPECT_FALSE(std::isnan(report.heads.front().mean_answer_error));
  for (std::size_t t = 0; t < tolerances.size(); ++t) {
    const SweepRow& row = report.heads.front().rows[t];
    EXPECT_EQ(row.reachable, tolerances[t] != 1e-18);
    const HeadPlan own = plan(tuples, within(tolerances[t])).report().heads.front();
    EXPECT_EQ(row.engine, own.engine);
    EXPECT_EQ(row.degree, own.degree);
    EXPECT_EQ(row.tolerance, own.tolerance);
  }
  EXPECT_FALSE(describe(report).empty());
}

TEST(TuplePlan, TheChoiceDoesNotDependOnThreads) {
  const TupleCall tuples = large();
  Options options = within(1e-4);
  options.threads = 1;
  const HeadPlan one = plan(tuples, options).report().heads.front();
  options.threads = 4;
  const HeadPlan four = plan(tuples, options).report().heads.front();
  EXPECT_EQ(one.engine, four.engine);
  EXPECT_EQ(one.arithmetic, four.arithmetic);
  EXPECT_EQ(one.degree, four.degree);
  EXPECT_NEAR(four.predicted_seconds, one.predicted_seconds / 4.0, 1e-12);
}

}  // namespace
}  // namespace polyattn::test
