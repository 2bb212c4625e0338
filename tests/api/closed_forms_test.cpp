// Answers known in closed form. The only tolerance is the row's own certificate.

#include "polyattn/attention.hpp"
#include "support/choices.hpp"
#include "support/judge.hpp"

#include <cmath>
#include <vector>

namespace polyattn::test {
namespace {

class ClosedForm : public testing::TestWithParam<Choice> {
 protected:
  /// The rows of a problem with one value column; `expected_error` is the rounding of `expected` itself.
  static void expect_rows(const Problem& problem, const std::vector<double>& expected, double expected_error = 0.0) {
    Options options = forced(GetParam(), 12);
    options.want_row_bounds = true;
    options.output_dtype = DType::float64;
    const Result result = attend(problem, options);
    const std::vector<double> rows = values_of(result.output);
    const std::vector<double> bounds = values_of(result.row_bounds.value());
    ASSERT_EQ(rows.size(), expected.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_LE(std::abs(rows[i] - expected[i]), bounds[i] + expected_error) << "row " << i << " is " << rows[i];
    }
    EXPECT_TRUE(within_bounds(problem, options));
  }
  static Problem one_column(std::int64_t dim, const std::vector<double>& q, const std::vector<double>& k,
                            const std::vector<double>& v, const Score& score = Dot{1.0}) {
    const auto count = [&](const std::vector<double>& of) { return static_cast<std::int64_t>(of.size()) / dim; };
    Problem problem;
    problem.q = store(DType::float64, {1, 1, count(q), dim}, q);
    problem.k = store(DType::float64, {1, 1, count(k), dim}, k);
    problem.v = store(DType::float64, {1, 1, static_cast<std::int64_t>(v.size()), 1}, v);
    problem.score = score;
    return problem;
  }
};

TEST_P(ClosedForm, EqualKeysGiveTheMean) {
  std::vector<double> keys;
  std::vector<double> values;
  for (int j = 0; j < 33; ++j) {
    keys.insert(keys.end(), {0.3, -1.7});
    values.push_back(j * j);  // they sum to 32 * 33 * 65 / 6 = 11440
  }
  expect_rows(one_column(2, {1.0, 2.0, -0.5, 0.25, 0.0, 0.0}, keys, values), std::vector<double>(3, 11440.0 / 33.0),
              0x1p-43);
}

TEST_P(ClosedForm, UniformScoresGiveTheMean) {
  // Zero queries, and queries orthogonal to every key.
  std::vector<double> keys;
  std::vector<double> values;
  for (int j = 0; j < 64; ++j) {
    keys.insert(keys.end(), {0.01 * j, 0.0});
    values.push_back(j);
  }
  expect_rows(one_column(2, {0.0, 0.0, 0.0, 3.0}, keys, values), {31.5, 31.5});
}

TEST_P(ClosedForm, BiasWeightsTheMean) {
  Problem problem = one_column(1, {0.0}, {1.0, 2.0, 3.0}, {1.0, 5.0, 9.0});
  problem.bias = store(DType::float64, {1, 1, 3, 1}, {std::log(3.0), 0.0, -kInfinity});
  // log 3 is rounded: its error of half an ulp, 2^-53, moves a mean over a range of 4 by at most 4 * 2^-53 / 4.
  expect_rows(problem, {2.0}, 0x1p-53);
}

TEST_P(ClosedForm, TwoKeysInOneDimensionAreASigmoid) {
  const std::vector<double> queries{-3.0, -1.0, -0.125, 0.0, 0.5, 2.0};
  std::vector<double> expected;
  for (const double q : queries) {
    expected.push_back(1.0 / (1.0 + std::exp(-2.0 * q)));
  }
  expect_rows(one_column(1, queries, {1.0, -1.0}, {1.0, 0.0}), expected, 0x1p-51);
}

TEST_P(ClosedForm, GaussianOfTwoPoints) {
  const double bandwidth = 0.75;
  const std::vector<double> queries{0.0, 0.25, 0.5, 1.0};
  std::vector<double> expected;
  for (const double q : queries) {
    const double left = q * q;
    const double right = (q - 1.0) * (q - 1.0);
    expected.push_back(1.0 / (1.0 + std::exp((right - left) / (2.0 * bandwidth * bandwidth))));
  }
  // The exponent, at most 1 in magnitude, has three roundings; the rest four more.
  expect_rows(one_column(1, queries, {0.0, 1.0}, {0.0, 1.0}, Gaussian{{bandwidth}}), expected, 0x1p-50);
}

TEST_P(ClosedForm, GaussianWithOneBandwidthPerAxis) {
  Problem problem = random_problem({.n_q = 12, .n_kv = 20, .dim = 3, .value_dim = 2}, 1.0, DType::float64, 51);
  problem.score = Gaussian{{0.9, 1.7, 40.0}};
  EXPECT_TRUE(within_bounds(problem, forced(GetParam(), 12)));
  Problem isotropic = problem;
  isotropic.score = Gaussian{{1.25}};
  problem.score = Gaussian{{1.25, 1.25, 1.25}};
  EXPECT_EQ(bits_of(attend(problem, forced(GetParam(), 12)).output),
            bits_of(attend(isotropic, forced(GetParam(), 12)).output));
}

TEST_P(ClosedForm, OneKeyGivesItsValue) {
  expect_rows(one_column(2, {1.0, 2.0, 3.0, 4.0}, {-1.0, 0.5}, {7.25}), {7.25, 7.25});
}

TEST_P(ClosedForm, ConstantValuesComeBack) {
  Problem problem = random_problem({.n_q = 8, .n_kv = 30, .dim = 2, .value_dim = 1}, 2.0, DType::float64, 52);
  problem.v = store(DType::float64, problem.v.shape, std::vector<double>(30, -3.0));
  expect_rows(problem, std::vector<double>(8, -3.0));
}

INSTANTIATE_TEST_SUITE_P(Engines, ClosedForm, testing::ValuesIn(plain_choices()),
                         [](const auto& choice) { return choice.param.name(); });

TEST(ClosedFormExact, OneDominantKeyGivesItsValue) {
  for (const Choice& choice : choices()) {
    if (choice.engine == Engine::polynomial) {
      continue;  // scores of 1e4 are far beyond any polynomial
    }
    Problem problem = random_problem({.n_q = 5, .n_kv = 100, .dim = 4, .value_dim = 2}, 1.0, DType::float32, 53);
    std::vector<double> queries = problem.q.values;
    for (double& q : queries) {
      q = std::abs(q) + 0.5;
    }
    problem.q = store(DType::float32, problem.q.shape, queries);
    std::vector<double> keys = problem.k.values;
    for (std::size_t l = 0; l < 4; ++l) {
      keys[63 * 4 + l] = 1e4;
    }
    problem.k = store(DType::float32, problem.k.shape, keys);
    Options options = forced(choice);
    options.want_row_bounds = true;
    const Result result = attend(problem, options);
    const std::vector<double> rows = values_of(result.output);
    const std::vector<double> bounds = values_of(result.row_bounds.value());
    for (std::size_t row = 0; row < 5; ++row) {
      EXPECT_LE(std::abs(rows[row * 2] - problem.v.values[63 * 2]), bounds[row]) << choice.name();
      EXPECT_LE(std::abs(rows[row * 2 + 1] - problem.v.values[63 * 2 + 1]), bounds[row]) << choice.name();
    }
  }
}

TEST(ClosedFormExact, LogSumExpOfEqualScores) {
  // n keys with score s: log-sum-exp s + log n; the row maximum is s.
  Problem problem = random_problem({.n_q = 1, .n_kv = 1024, .dim = 1, .value_dim = 1}, 1.0, DType::float64, 54);
  problem.q = store(DType::float64, {1, 1, 1, 1}, {2.0});
  problem.k = store(DType::float64, problem.k.shape, std::vector<double>(1024, 0.75));
  problem.score = Dot{1.0};
  for (const Choice& choice : choices()) {
    Options options = forced(choice);
    options.want_lse = true;
    options.want_row_max = choice.engine != Engine::polynomial;
    const Result result = attend(problem, options);
    const double exact = 1.5 + 10.0 * 0.693147180559945309417232;
    EXPECT_NEAR(values_of(result.lse.value())[0], exact, values_of(result.lse_bound.value())[0] + 0x1p-50);
    if (options.want_row_max) {
      EXPECT_NEAR(values_of(result.row_max.value())[0], 1.5, values_of(result.lse_bound.value())[0]);
    }
  }
}

}  // namespace
}  // namespace polyattn::test
