// Problems that span many blocks of keys, moments and rows, judged in a few rows.

#include "polyattn/attention.hpp"
#include "support/answer.hpp"
#include "support/choices.hpp"
#include "support/judge.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace polyattn::test {
namespace {

class Large : public testing::TestWithParam<Choice> {};

/// Row i of a one-head problem over the keys it may see, as a problem of its own.
Problem row_of(const Problem& problem, std::int64_t i) {
  const auto keep = [](const Stored& stored, std::int64_t first, std::int64_t count) {
    const double* begin = stored.row(0, 0, first);
    return store(stored.dtype, {1, 1, count, stored.shape[3]},
                 std::vector<double>(begin, begin + count * stored.shape[3]));
  };
  const std::int64_t seen = visible_keys(problem.causal, i, problem.q.shape[2], problem.k.shape[2]);
  Problem row;
  row.q = keep(problem.q, i, 1);
  row.k = keep(problem.k, 0, seen);
  row.v = keep(problem.v, 0, seen);
  if (problem.bias) {
    row.bias = keep(*problem.bias, 0, seen);
  }
  row.score = problem.score;
  return row;
}

/// Every `step`-th row of `found` against long double.
testing::AssertionResult rows_hold(const Problem& problem, const Answer& found, std::int64_t step) {
  for (std::int64_t i = 0; i < problem.q.shape[2]; i += step) {
    const Truth<long double> truth = truth_of<long double>(row_of(problem, i));
    const auto at = static_cast<std::size_t>(i);
    for (std::size_t c = 0; c < found.columns; ++c) {
      const auto error = std::abs(
          static_cast<double>(static_cast<long double>(found.output[at * found.columns + c]) - truth.output[c]));
      if (!(error <= found.bounds[at] + truth.doubt[c])) {
        return testing::AssertionFailure() << "row " << i << ": error " << error << ", certified " << found.bounds[at];
      }
    }
    const auto error = std::abs(static_cast<double>(static_cast<long double>(found.lse[at]) - truth.lse[0]));
    if (!(error <= found.lse_bounds[at] + truth.lse_doubt[0])) {
      return testing::AssertionFailure() << "row " << i << ": log-sum-exp is off by " << error << ", certified "
                                         << found.lse_bounds[at];
    }
  }
  return testing::AssertionSuccess();
}

TEST_P(Large, ManyKeys) {
  for (const Causal causal : {Causal::none, Causal::lower_right}) {
    Problem problem = random_problem({.n_q = 60, .n_kv = 20011, .dim = 3, .value_dim = 2}, 2.0, DType::float32, 171);
    problem.causal = causal;
    problem.bias = random_bias(problem, -2.0, 2.0, 172);
    EXPECT_TRUE(rows_hold(problem, answer(problem, forced(GetParam(), 7)), 7));
  }
}

TEST_P(Large, CausalSquare) {
  // Longer and shorter than the length at which causal blocks grow, and no multiple of any block.
  for (const std::int64_t n : {1999, 8233}) {
    if (GetParam().engine == Engine::reference && n > 2000) {
      continue;
    }
    Problem problem = random_problem({.n_q = n, .n_kv = n, .dim = 2, .value_dim = 1}, 1.0, DType::float64, 173);
    problem.causal = Causal::upper_left;
    EXPECT_TRUE(rows_hold(problem, answer(problem, forced(GetParam(), 6)), n / 23));
  }
}

TEST_P(Large, CausalWithFallingAndRisingWeights) {
  // ALiBi over thousands of keys: one common scale for the weights would lose the first or the last rows to underflow.
  for (const double slope : {0.5, -0.5}) {
    Problem problem = random_problem({.n_q = 4096, .n_kv = 4096, .dim = 2, .value_dim = 1}, 1.0, DType::float32, 174);
    problem.causal = Causal::upper_left;
    std::vector<double> weights(4096);
    for (std::size_t j = 0; j < weights.size(); ++j) {
      weights[j] = slope * static_cast<double>(j);
    }
    problem.bias = store(DType::float64, {1, 1, 4096, 1}, weights);
    Options options = forced(GetParam(), 6);
    options.strict = false;
    const Answer found = answer(problem, options);
    EXPECT_TRUE(rows_hold(problem, found, 211));
    EXPECT_LT(*std::max_element(found.bounds.begin(), found.bounds.end()), 0.01);
  }
}

TEST_P(Large, WideRows) {
  const int degree = 2;
  const Problem problem =
      random_problem({.n_q = 50, .n_kv = 700, .dim = 256, .value_dim = 256}, 0.5, DType::float32, 175);
  EXPECT_TRUE(rows_hold(problem, answer(problem, forced(GetParam(), degree)), 5));
}

INSTANTIATE_TEST_SUITE_P(Engines, Large, testing::ValuesIn(choices()),
                         [](const auto& choice) { return choice.param.name(); });

}  // namespace
}  // namespace polyattn::test
