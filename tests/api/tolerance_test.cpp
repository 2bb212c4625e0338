// What a tolerance means, when it is met, by whom, and when it cannot be.

#include "polyattn/attention.hpp"
#include "support/answer.hpp"
#include "support/choices.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace polyattn::test {
namespace {

Options polynomial(double tolerance, bool strict) {
  Options options;
  options.engine = Engine::polynomial;
  options.tolerance.value = tolerance;
  options.strict = strict;
  return with_certificates(options);
}

TEST(Tolerance, ZeroIsExactInTheInputsOwnType) {
  for (const DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
    const Problem problem = random_problem({.n_q = 20, .n_kv = 30}, 50.0, dtype, 101);
    const HeadReport head = attend(problem).report.heads.at(0);
    EXPECT_EQ(head.engine, Engine::exact);
    EXPECT_EQ(head.arithmetic, dtype == DType::float64 ? Arithmetic::float64 : Arithmetic::float32);
    EXPECT_EQ(head.certificate.approximation, 0.0);
    EXPECT_TRUE(within_bounds(problem));
  }
}

TEST(Tolerance, ZeroIsNeverNotReachable) {
  // Scores in the thousands: float32 certifies nothing useful, and says so instead of failing.
  const Problem problem = random_problem({.n_q = 20, .n_kv = 30}, 5e3, DType::float32, 102);
  EXPECT_TRUE(within_bounds(problem));
}

TEST(Tolerance, OfValueRangeWithConstantValuesIsExactInFloat64) {
  Problem problem = random_problem({.n_q = 20, .n_kv = 30, .value_dim = 2}, 1.0, DType::float32, 103);
  problem.v = store(DType::float32, problem.v.shape, std::vector<double>(60, 0.1));
  Options options;
  options.tolerance = {1e-3, ToleranceKind::of_value_range};
  const HeadReport head = attend(problem, options).report.heads.at(0);
  EXPECT_EQ(head.engine, Engine::exact);
  EXPECT_EQ(head.arithmetic, Arithmetic::float64);
  EXPECT_TRUE(within_bounds(problem, options));
}

TEST(Tolerance, OfValueRangeIsRelativeToTheVisibleValuesOfEachHead) {
  Problem problem =
      random_problem({.heads = 2, .n_q = 40, .n_kv = 60, .dim = 2, .value_dim = 2}, 1.0, DType::float64, 104);
  std::vector<double> values = problem.v.values;
  for (std::size_t e = 120; e < values.size(); ++e) {
    values[e] *= 1000.0;
  }
  values[0] = 1e6;  // of a key that is hidden
  problem.v = store(DType::float64, problem.v.shape, values);
  std::vector<double> hidden(60, 0.0);
  hidden[0] = -kInfinity;
  problem.bias = store(DType::float64, {1, 1, 60, 1}, hidden);
  for (const bool force : {false, true}) {
    Options options = with_certificates({});
    options.engine = force ? Engine::polynomial : Engine::automatic;
    options.tolerance = {1e-3, ToleranceKind::of_value_range};
    const Result result = attend(problem, options);
    EXPECT_TRUE(within_bounds(judge(problem, result)));
    for (std::size_t head = 0; head < 2; ++head) {
      double range = 0.0;
      for (std::size_t c = 0; c < 2; ++c) {
        double low = kInfinity;
        double high = -kInfinity;
        for (std::size_t j = 1; j < 60; ++j) {
          low = std::min(low, values[head * 120 + 2 * j + c]);
          high = std::max(high, values[head * 120 + 2 * j + c]);
        }
        range = std::max(range, high - low);
      }
      const HeadReport& report = result.report.heads[head];
      EXPECT_NEAR(report.value_range, range, 0x1p-50 * range);
      EXPECT_NEAR(report.tolerance, 1e-3 * range, 0x1p-50 * range);
      EXPECT_LE(report.certificate.bound(), report.tolerance);
    }
  }
}

TEST(Tolerance, StrictFailsWhereItCannotBeReached) {
  for (const double radius : {1.0, 400.0}) {
    const Problem problem = random_problem({.n_q = 20, .n_kv = 30, .dim = 2}, radius, DType::float64, 105);
    EXPECT_TRUE(
        fails_with(ErrorCode::not_reachable, {"polynomial"}, [&] { attend(problem, polynomial(1e-17, true)); }));
  }
  const Problem wide = random_problem({.n_q = 20, .n_kv = 30, .dim = 2}, 400.0, DType::float64, 106);
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"polynomial"}, [&] { attend(wide, polynomial(1e-3, true)); }));
}

TEST(Tolerance, NotStrictHandsRowsToExact) {
  for (const double radius : {1.0, 400.0}) {
    const Problem problem = random_problem({.n_q = 20, .n_kv = 30, .dim = 2}, radius, DType::float64, 107);
    Options options = polynomial(1e-9, false);
    options.degree = 2;
    options.want_row_engine = true;
    const Result result = attend(problem, options);
    const HeadReport& head = result.report.heads.at(0);
    EXPECT_GT(head.rows_exact, 0);
    EXPECT_EQ(head.rows_exact + head.rows_polynomial, 20);
    EXPECT_EQ(std::count(result.row_engine.begin(), result.row_engine.end(), Engine::exact), head.rows_exact);
    EXPECT_LE(head.certificate.bound(), 1e-9);
    EXPECT_TRUE(within_bounds(judge(problem, result)));
  }
}

TEST(Tolerance, OnlyTheRowsThatNeedItAreHandedOver) {
  // One query far outside: its own radius is large, nobody else's.
  Problem problem = random_problem({.n_q = 64, .n_kv = 100, .dim = 2}, 1.0, DType::float64, 108);
  std::vector<double> queries = problem.q.values;
  queries[20] = 300.0;
  problem.q = store(DType::float64, problem.q.shape, queries);
  Options options = polynomial(1e-3, false);
  options.want_row_engine = true;
  const Result result = attend(problem, options);
  EXPECT_EQ(result.row_engine.at(10), Engine::exact);
  EXPECT_GT(result.report.heads.at(0).rows_polynomial, 0);
  EXPECT_TRUE(within_bounds(judge(problem, result)));
  EXPECT_LE(result.report.heads.at(0).certificate.bound(), 1e-3);
}

TEST(Tolerance, BelowTheRoundingOfEveryEngineIsNotReachable) {
  const Problem problem = random_problem({.n_q = 20, .n_kv = 3000}, 100.0, DType::float64, 109);
  for (const Engine engine : {Engine::automatic, Engine::exact}) {
    Options options;
    options.engine = engine;
    options.tolerance.value = 1e-19;
    EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"1e-19"}, [&] { attend(problem, options); }));
  }
}

TEST(Tolerance, ExactTakesFloat64WhereFloat32DoesNotDo) {
  const Problem problem = random_problem({.n_q = 20, .n_kv = 300}, 4.0, DType::float32, 110);
  Options options;
  options.output_dtype = DType::float64;
  for (const double tolerance : {1e-2, 1e-10}) {
    options.tolerance.value = tolerance;
    const HeadReport head = attend(problem, options).report.heads.at(0);
    EXPECT_EQ(head.engine, Engine::exact);  // too small for a statistics pass
    EXPECT_EQ(head.arithmetic, tolerance > 1e-5 ? Arithmetic::float32 : Arithmetic::float64);
    EXPECT_LE(head.certificate.bound(), tolerance);
  }
}

TEST(Tolerance, RoundingToAFloat32OutputCounts) {
  // Values near 1000 rounded to float32 are off by up to 3e-5: no arithmetic helps.
  Problem problem = random_problem({.n_q = 20, .n_kv = 300, .value_dim = 1}, 1.0, DType::float32, 111);
  std::vector<double> values = problem.v.values;
  for (double& v : values) {
    v += 1000.0;
  }
  problem.v = store(DType::float32, problem.v.shape, values);
  Options options;
  options.tolerance.value = 1e-5;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"1e-05"}, [&] { attend(problem, options); }));
  options.output_dtype = DType::float64;
  EXPECT_LE(attend(problem, options).report.heads.at(0).certificate.bound(), 1e-5);
  // Rounding to 16 bits is the caller's wish: reported, not counted.
  options.output_dtype = DType::float16;
  const HeadReport head = attend(problem, options).report.heads.at(0);
  EXPECT_LE(head.certificate.bound(), 1e-5);
  EXPECT_GE(head.certificate.storage, 0.2);
}

TEST(Tolerance, LogSumExpHasItsOwn) {
  const Problem problem = random_problem({.n_q = 50, .n_kv = 80, .dim = 2}, 2.0, DType::float64, 112);
  for (const Engine engine : {Engine::automatic, Engine::exact, Engine::polynomial}) {
    for (const double tolerance : {1e-2, 1e-6, 1e-10}) {
      Options options = with_certificates({});
      options.engine = engine;
      options.tolerance.value = 0.5;  // T alone would be had with a constant
      options.lse_tolerance = tolerance;
      const Result result = attend(problem, options);
      const std::vector<double> bounds = values_of(result.lse_bound.value());
      EXPECT_LE(*std::max_element(bounds.begin(), bounds.end()), tolerance);
      EXPECT_LE(result.report.heads.at(0).lse_bound, tolerance);
      EXPECT_TRUE(within_bounds(judge(problem, result)));
    }
  }
}

TEST(Tolerance, LogSumExpOutOfReach) {
  const Problem problem = random_problem({.n_q = 50, .n_kv = 80, .dim = 2}, 2.0, DType::float64, 113);
  Options options = polynomial(0.5, true);
  options.degree = 1;
  options.lse_tolerance = 1e-9;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"polynomial"}, [&] { attend(problem, options); }));
  options.strict = false;
  const Result result = attend(problem, options);
  EXPECT_GT(result.report.heads.at(0).rows_exact, 0);
  EXPECT_LE(result.report.heads.at(0).lse_bound, 1e-9);
}

// A number of the output says nothing of log-sum-exp: what is missed is named, with its own bound.
TEST(Tolerance, WhatIsMissedIsNamed) {
  const Problem problem = random_problem({.n_q = 20, .n_kv = 30, .dim = 2}, 2.0, DType::float64, 115);
  Problem equal = problem;  // values that do not vary ask for nothing of the output
  equal.v = store(DType::float64, equal.v.shape, std::vector<double>(equal.v.values.size(), 0.5));
  for (const Engine engine : {Engine::exact, Engine::reference}) {
    Options options = with_certificates({});
    options.engine = engine;
    options.tolerance.value = 1e-3;
    options.lse_tolerance = 1e-20;
    for (const Problem& one : {problem, equal}) {
      EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"lse_tolerance: 1e-20", "20 of 20 rows", "bound there is"},
                             [&] { attend(one, options); }));
    }
    options.lse_tolerance.reset();
    EXPECT_TRUE(within_bounds(equal, options));
    options.density_tolerance = 1e-20;
    EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"density_tolerance: 1e-20"}, [&] { attend(equal, options); }));
    options.tolerance.value = 1e-20;
    EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"tolerance: 1e-20"}, [&] { attend(problem, options); }));
  }
}

TEST(Tolerance, DensityRelativeAndAbsolute) {
  // |D~ - D| <= tolerance * D, or <= tolerance * unit: judged through log-sum-exp, D = exp(lse).
  const Problem problem = random_problem({.n_q = 50, .n_kv = 80, .dim = 2}, 2.0, DType::float64, 114);
  const Truth<long double> truth = truth_of<long double>(problem);
  for (const Engine engine : {Engine::exact, Engine::polynomial}) {
    for (const auto& [absolute, unit] : {std::pair{false, 1.0}, {true, 1.0}, {true, 1e-6}, {true, 500.0}}) {
      Options options = with_certificates({});
      options.engine = engine;
      options.tolerance.value = 0.5;
      options.density_tolerance = 1e-4;
      options.density_absolute = absolute;
      options.density_unit = unit;
      const Result result = attend(problem, options);
      const std::vector<double> lse = values_of(result.lse.value());
      for (std::size_t row = 0; row < lse.size(); ++row) {
        const long double exact = exp_of(truth.lse[row]);
        const long double found = exp_of(static_cast<long double>(lse[row]));
        const long double error = found > exact ? found - exact : exact - found;
        const long double allowed = 1e-4L * (absolute ? static_cast<long double>(unit) : exact);
        EXPECT_LE(error, allowed);
        if (absolute) {
          EXPECT_LE(std::expm1(values_of(result.lse_bound.value())[row]) * std::exp(lse[row]),
                    static_cast<double>(allowed));
        }
      }
      EXPECT_TRUE(within_bounds(judge(problem, result)));
    }
  }
}

TEST(Tolerance, PinnedDegreeIsUsed) {
  const Problem problem = random_problem({.n_q = 50, .n_kv = 80, .dim = 2}, 1.0, DType::float64, 115);
  for (const int degree : {0, 1, 2, 5, 12}) {
    const HeadReport head =
        attend(problem, forced({Engine::polynomial, Arithmetic::float64}, degree)).report.heads.at(0);
    EXPECT_EQ(head.degree, degree);
    EXPECT_EQ(head.rank, (degree + 2) * (degree + 1) / 2);
    EXPECT_EQ(head.rows_polynomial, 50);
  }
}

}  // namespace
}  // namespace polyattn::test
