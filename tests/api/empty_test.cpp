// Empty sizes, rows that see nothing, the smallest problems there are.

#include "polyattn/attention.hpp"
#include "support/choices.hpp"
#include "support/judge.hpp"

#include <array>
#include <vector>

namespace polyattn::test {
namespace {

class Empty : public testing::TestWithParam<Choice> {
 protected:
  static Options with_everything() {
    Options options = forced(GetParam(), 4);
    options.want_lse = true;
    options.want_row_bounds = true;
    options.want_row_engine = true;
    return options;
  }
};

TEST_P(Empty, NoQueriesNoHeadsNoBatch) {
  for (const RandomShape& shape : {RandomShape{.n_q = 0}, RandomShape{.heads = 0}, RandomShape{.batch = 0}}) {
    const Problem problem = random_problem(shape, 1.0, DType::float32, 41);
    const Result result = attend(problem, with_everything());
    EXPECT_EQ(result.output.shape(), (Shape{shape.batch, shape.heads, shape.n_q, shape.value_dim}));
    EXPECT_EQ(result.output.elements(), 0);
    EXPECT_EQ(result.lse.value().elements(), 0);
    EXPECT_TRUE(result.row_engine.empty());
  }
}

TEST_P(Empty, NoKeys) {
  const Problem problem = random_problem({.heads = 2, .n_q = 3, .n_kv = 0}, 1.0, DType::float32, 42);
  const Result result = attend(problem, with_everything());
  EXPECT_EQ(values_of(result.output), std::vector<double>(18, 0.0));
  EXPECT_EQ(values_of(result.lse.value()), std::vector<double>(6, -kInfinity));
  EXPECT_EQ(values_of(result.lse_bound.value()), std::vector<double>(6, 0.0));
  EXPECT_EQ(values_of(result.row_bounds.value()), std::vector<double>(6, 0.0));
}

TEST_P(Empty, AllKeysHidden) {
  Problem problem = random_problem({.n_q = 3, .n_kv = 4}, 1.0, DType::float32, 43);
  problem.bias = store(DType::float64, {1, 1, 4, 1}, std::vector<double>(4, -kInfinity));
  const Result result = attend(problem, with_everything());
  EXPECT_EQ(values_of(result.output), std::vector<double>(9, 0.0));
  EXPECT_EQ(values_of(result.lse.value()), std::vector<double>(3, -kInfinity));
  EXPECT_EQ(values_of(result.row_bounds.value()), std::vector<double>(3, 0.0));
}

TEST_P(Empty, LeadingRowsSeeNoKey) {
  // lower_right with fewer keys than queries, and a causal row whose only key is hidden.
  Problem problem = random_problem({.n_q = 9, .n_kv = 4, .dim = 2}, 1.0, DType::float64, 44);
  problem.causal = Causal::lower_right;
  const Result result = attend(problem, with_everything());
  const std::vector<double> lse = values_of(result.lse.value());
  for (std::size_t row = 0; row < 9; ++row) {
    EXPECT_EQ(lse[row] == -kInfinity, row < 5) << row;
  }
  EXPECT_TRUE(within_bounds(problem, with_everything()));
  problem.causal = Causal::upper_left;
  problem.bias = store(DType::float64, {1, 1, 4, 1}, {-kInfinity, -kInfinity, 0.5, 0.0});
  EXPECT_TRUE(within_bounds(problem, with_everything()));
  EXPECT_EQ(values_of(attend(problem, with_everything()).lse.value())[1], -kInfinity);
}

TEST_P(Empty, NoValueColumns) {
  const Problem problem = random_problem({.n_q = 3, .n_kv = 5, .value_dim = 0}, 1.0, DType::float64, 45);
  const Result result = attend(problem, with_everything());
  EXPECT_EQ(result.output.elements(), 0);
  EXPECT_TRUE(within_bounds(problem, with_everything()));
  EXPECT_EQ(result.lse.value().elements(), 3);
}

TEST_P(Empty, OneRowOneKey) {
  for (const std::int64_t n_q : {1, 2}) {
    for (const std::int64_t n_kv : {1, 2}) {
      for (const std::int64_t dim : {1, 3}) {
        Problem problem =
            random_problem({.n_q = n_q, .n_kv = n_kv, .dim = dim, .value_dim = 1}, 1.0, DType::float64, 46);
        EXPECT_TRUE(within_bounds(problem, with_everything()));
        problem.causal = Causal::lower_right;
        EXPECT_TRUE(within_bounds(problem, with_everything()));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, Empty, testing::ValuesIn(choices()),
                         [](const auto& choice) { return choice.param.name(); });

TEST(EmptyReport, RowMaximumOfARowThatSeesNothing) {
  const Problem problem = random_problem({.n_q = 2, .n_kv = 0}, 1.0, DType::float64, 47);
  Options options;
  options.want_row_max = true;
  EXPECT_EQ(values_of(attend(problem, options).row_max.value()), std::vector<double>(2, -kInfinity));
}

}  // namespace
}  // namespace polyattn::test
