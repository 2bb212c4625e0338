// Exact with the arithmetic left to the library: which rows float32 answers, and which float64.

#include "polyattn/attention.hpp"
#include "support/answer.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

Options exact(Arithmetic arithmetic) {
  Options options;
  options.engine = Engine::exact;
  options.arithmetic = arithmetic;
  return with_certificates(options);
}

/// Row i is so far out that float32's bound is large: every tenth, or all but every tenth.
bool far_out(std::int64_t i, bool most) { return (i % 10 == 3) != most; }

Problem mixed_problem(std::int64_t rows, bool most) {
  Problem problem = random_problem({.n_q = rows, .n_kv = 256}, 1.0, DType::float64, 201);
  std::vector<double> queries = problem.q.values;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::size_t l = 0; l < 4; ++l) {
      double& x = queries[static_cast<std::size_t>(4 * i) + l];
      x = far_out(i, most) ? 1e4 * x + std::copysign(1e3, x) : x;
    }
  }
  problem.q = store(DType::float64, problem.q.shape, queries);
  return problem;
}

/// Between the bounds of float32 for rows far out and for the others.
double tolerance_between(const Problem& problem, const Answer& single, bool most) {
  double near = 0.0;
  double far = kInfinity;
  for (std::size_t i = 0; i < single.bounds.size(); ++i) {
    double& side = far_out(static_cast<std::int64_t>(i), most) ? far : near;
    side = &side == &far ? std::min(far, single.bounds[i]) : std::max(near, single.bounds[i]);
  }
  EXPECT_LT(4.0 * near, far) << problem.q.shape[2];
  return std::sqrt(near * far);
}

// Few rows go without packed keys, many with them.
TEST(ExactArithmetic, AllRowsGoToFloat64WhereMostMissFloat32AndElseOnlyThose) {
  for (const std::int64_t rows : {96, 400}) {
    for (const bool most : {true, false}) {
      const Problem problem = mixed_problem(rows, most);
      const Answer single = answer(problem, exact(Arithmetic::float32));
      const Answer wide = answer(problem, exact(Arithmetic::float64));
      Options options = exact(Arithmetic::automatic);
      options.tolerance.value = tolerance_between(problem, single, most);
      const Result result = attend(problem, options);
      EXPECT_TRUE(within_bounds(judge(problem, result)));
      const Answer free = answer_of(result);
      for (std::size_t i = 0; i < free.bounds.size(); ++i) {
        const bool in_float64 = most || far_out(static_cast<std::int64_t>(i), most);
        const Answer& expected = in_float64 ? wide : single;
        EXPECT_EQ(free.bounds[i], expected.bounds[i]) << rows << " " << most << " row " << i;
        for (std::size_t c = 0; c < free.columns; ++c) {
          EXPECT_EQ(free.output[i * free.columns + c], expected.output[i * free.columns + c]) << "row " << i;
        }
      }
    }
  }
}

// A look at a few rows must not name a later row than the first.
TEST(ExactArithmetic, TheFirstRowThatIsNotFiniteIsNamed) {
  for (const std::int64_t rows : {96, 400}) {
    Problem problem = mixed_problem(rows, true);
    std::vector<double> queries = problem.q.values;
    for (std::int64_t i = 5; i < rows; ++i) {
      queries[static_cast<std::size_t>(4 * i)] = std::numeric_limits<double>::quiet_NaN();
    }
    problem.q = store(DType::float64, problem.q.shape, queries);
    Options options = exact(Arithmetic::automatic);
    options.tolerance.value = 1e-9;
    EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"row 5"}, [&] { attend(problem, options); }));
  }
}

}  // namespace
}  // namespace polyattn::test
