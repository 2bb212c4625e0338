// What becomes of rows that a polynomial of order k refuses: higher degrees where those are cheaper than exact, then
// exact.

#include "planning/execute_tuples.hpp"

#include "api/tuple_calls.hpp"
#include "support/expect_error.hpp"
#include "support/tuple_call.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace polyattn::planning {
namespace {

struct Outcome {
  HeadReport report;
  std::vector<double> output;
  std::vector<Engine> engines;
};

/// A head large enough for exact rows to be dear, decided for a tolerance.
struct Head {
  explicit Head(Options options) : asked(call.options(std::move(options))) {
    const auto keys = call.keys();
    const auto values = call.values();
    problem =
        api::make_tuple_problems(call.q.view(), keys, values, asked, api::check_shapes(call.q.view(), keys, values))
            .front();
    request = api::make_request(asked, call.q.view(), keys, values);
    decision = decide_tuples(problem, request, {1, &memory, nullptr});
  }
  /// The decision with another degree in place of the one that was found.
  void pretend(int degree, double seconds_per_row) {
    auto other = std::make_shared<TuplePolynomials>();
    other->frame = decision.polynomials->frame;
    other->choice = decision.polynomials->choice;
    other->choice.degree = degree;
    other->seconds_per_row = seconds_per_row;
    decision.polynomials = other;
    decision.plan.degree = degree;
  }
  Outcome run() {
    Outcome out;
    out.output.resize(300 * 3);
    out.engines.resize(300);
    HeadDestinations to;
    to.output = {out.output.data(), DType::float64, 3, 1};
    to.row_engine = out.engines.data();
    out.report = execute_tuples(problem, decision, request, to, {2, &memory, nullptr});
    return out;
  }

  test::TupleCall call =
      test::random_tuples({.n = {300, 280}, .n_q = 300, .dim = 4, .value_dim = 3}, 1.5, DType::float64, 1);
  Options asked;
  base::MemoryMeter memory;  // before the decision, which holds what it counts
  engines::TupleProblem problem;
  Request request;
  TupleDecision decision;
};

Options within(double tolerance) {
  Options options;
  options.tolerance.value = tolerance;
  options.output_dtype = DType::float64;
  return options;
}

TEST(ExecuteTuples, RefusedRowsGoToHigherDegrees) {
  Head head(within(1e-4));
  ASSERT_NE(head.decision.polynomials, nullptr);
  const int needed = head.decision.plan.degree;
  ASSERT_GE(needed, 3);
  head.pretend(needed - 1, 1e3);  // some rows it still serves, and exact would take very long
  const Outcome done = head.run();
  EXPECT_EQ(done.report.degree, needed);
  EXPECT_EQ(done.report.rows_polynomial, 300);
  EXPECT_LE(done.report.certificate.bound(), 1e-4);
}

TEST(ExecuteTuples, OrToExactWhereThatIsCheaper) {
  Head head(within(1e-4));
  ASSERT_NE(head.decision.polynomials, nullptr);
  const int needed = head.decision.plan.degree;
  head.pretend(needed - 1, 0.0);
  const Outcome done = head.run();
  EXPECT_EQ(done.report.degree, needed - 1);
  EXPECT_GT(done.report.rows_exact, 0);
  EXPECT_GT(done.report.rows_polynomial, 0);
  EXPECT_EQ(done.report.rows_polynomial + done.report.rows_exact, 300);
  EXPECT_LE(done.report.certificate.bound(), 1e-4);
  EXPECT_EQ(std::count(done.engines.begin(), done.engines.end(), Engine::exact), done.report.rows_exact);
}

TEST(ExecuteTuples, NeverBeyondAPinnedDegreeNorToExactUnderStrict) {
  Options options = within(1e-4);
  options.engine = Engine::polynomial;
  options.degree = 2;
  options.strict = true;
  Head head(options);
  ASSERT_NE(head.decision.polynomials, nullptr);
  head.pretend(2, 1e3);
  EXPECT_TRUE(test::fails_with(ErrorCode::not_reachable, {"polynomial alone"}, [&] { head.run(); }));
}

}  // namespace
}  // namespace polyattn::planning
