// NaN and infinity in inputs: named with their position, or propagated on request.

#include "polyattn/attention.hpp"
#include "support/choices.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Problem with_shape(DType dtype) {
  return random_problem({.batch = 2, .heads = 3, .n_q = 41, .n_kv = 53, .dim = 7, .value_dim = 6}, 1.0, dtype, 11);
}

/// The stored tensor with one element replaced.
Stored poisoned(const Stored& stored, const Shape& index, double value) {
  std::vector<double> values = stored.values;
  const Shape strides = contiguous_strides(stored.shape);
  values[static_cast<std::size_t>(index[0] * strides[0] + index[1] * strides[1] + index[2] * strides[2] + index[3])] =
      value;
  return store(stored.dtype, stored.shape, values);
}

class NonFinite : public testing::TestWithParam<Choice> {};

TEST_P(NonFinite, PositionIsNamed) {
  const Options options = forced(GetParam(), 3);
  for (const DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
    for (const double bad : {kNan, kInfinity, -kInfinity}) {
      const Problem clean = with_shape(dtype);
      Problem problem = clean;
      problem.q = poisoned(clean.q, {1, 2, 37, 5}, bad);
      EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"q:", "batch 1", "head 2", "row 37", "column 5"},
                             [&] { attend(problem, options); }));
      problem = clean;
      problem.k = poisoned(clean.k, {1, 0, 47, 6}, bad);
      EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"keys:", "batch 1", "head 0", "row 47", "column 6"},
                             [&] { attend(problem, options); }));
      problem = clean;
      problem.v = poisoned(clean.v, {0, 1, 52, 4}, bad);
      EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"values:", "batch 0", "head 1", "row 52", "column 4"},
                             [&] { attend(problem, options); }));
    }
  }
}

TEST_P(NonFinite, BiasMayHideButNotBeNanOrPlusInfinity) {
  const Options options = forced(GetParam(), 3);
  for (const double bad : {kNan, kInfinity}) {
    Problem problem = with_shape(DType::float64);
    problem.bias = poisoned(random_bias(problem, -1.0, 1.0, 3), {1, 2, 29, 0}, bad);
    EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"bias", "29"}, [&] { attend(problem, options); }));
  }
}

TEST_P(NonFinite, HiddenKeysAreNeverRead) {
  const Options options = forced(GetParam(), 4);
  Problem clean = with_shape(DType::float32);
  clean.bias = random_bias(clean, -1.0, 1.0, 4);
  for (std::int64_t b = 0; b < 2; ++b) {
    for (std::int64_t h = 0; h < 3; ++h) {
      clean.bias = poisoned(*clean.bias, {b, h, 31, 0}, -kInfinity);
    }
  }
  Problem problem = clean;
  for (const double bad : {kNan, kInfinity}) {
    problem.k = poisoned(poisoned(clean.k, {1, 2, 31, 0}, bad), {0, 0, 31, 6}, bad);
    problem.v = poisoned(poisoned(clean.v, {1, 2, 31, 0}, bad), {0, 0, 31, 5}, bad);
    EXPECT_EQ(bits_of(attend(problem, options).output), bits_of(attend(clean, options).output));
    EXPECT_TRUE(within_bounds(problem, options));
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, NonFinite, testing::ValuesIn(plain_choices()),
                         [](const auto& choice) { return choice.param.name(); });

class Propagated : public testing::TestWithParam<Choice> {
 protected:
  static std::vector<double> run(const Problem& problem) {
    Options options = forced(GetParam());
    options.non_finite = polyattn::NonFinite::propagate;
    return values_of(attend(problem, options).output);
  }
};

constexpr std::int64_t kRows = 9;
constexpr std::int64_t kColumns = 2;

Problem causal_problem() {
  Problem problem =
      random_problem({.n_q = kRows, .n_kv = kRows, .dim = 3, .value_dim = kColumns}, 1.0, DType::float32, 5);
  problem.causal = Causal::upper_left;
  return problem;
}

TEST_P(Propagated, NanQueryMakesItsRowNan) {
  Problem problem = causal_problem();
  problem.q = poisoned(problem.q, {0, 0, 4, 1}, kNan);
  const std::vector<double> output = run(problem);
  for (std::size_t e = 0; e < output.size(); ++e) {
    EXPECT_EQ(std::isnan(output[e]), e / kColumns == 4) << e;
  }
}

TEST_P(Propagated, NanKeyMakesRowsNanThatSeeIt) {
  Problem problem = causal_problem();
  problem.k = poisoned(problem.k, {0, 0, 5, 0}, kNan);
  const std::vector<double> output = run(problem);
  for (std::size_t e = 0; e < output.size(); ++e) {
    EXPECT_EQ(std::isnan(output[e]), e / kColumns >= 5) << e;
  }
}

TEST_P(Propagated, ValuesPassThrough) {
  Problem problem = causal_problem();
  problem.v = poisoned(poisoned(problem.v, {0, 0, 3, 0}, kInfinity), {0, 0, 6, 1}, kNan);
  const std::vector<double> output = run(problem);
  for (std::size_t row = 0; row < kRows; ++row) {
    EXPECT_EQ(output[row * kColumns] == kInfinity, row >= 3) << row;
    EXPECT_EQ(std::isnan(output[row * kColumns + 1]), row >= 6) << row;
  }
}

TEST_P(Propagated, CleanInputsGiveTheSameBits) {
  const Problem problem = causal_problem();
  const Options options = forced(GetParam());
  EXPECT_EQ(run(problem), values_of(attend(problem, options).output));
}

INSTANTIATE_TEST_SUITE_P(Engines, Propagated,
                         testing::Values(Choice{Engine::reference, Arithmetic::float64},
                                         Choice{Engine::exact, Arithmetic::float32},
                                         Choice{Engine::exact, Arithmetic::float64}),
                         [](const auto& choice) { return choice.param.name(); });

TEST(ScoresOutOfRange, BeyondFloat64AreAnError) {
  Problem problem = random_problem({.n_q = 3, .n_kv = 3, .dim = 2}, 1.0, DType::float64, 6);
  problem.q = store(DType::float64, problem.q.shape, std::vector<double>(6, 1e200));
  problem.k = store(DType::float64, problem.k.shape, std::vector<double>(6, 1e200));
  problem.score = Dot{1.0};
  for (const Engine engine : {Engine::automatic, Engine::reference, Engine::exact}) {
    Options options;
    options.engine = engine;
    EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"score"}, [&] { attend(problem, options); }));
  }
}

TEST(ScoresOutOfRange, BeyondFloat32StillHaveAnAnswer) {
  // Scores up to 1e60: the key that is largest along the query wins by far, in exact arithmetic outright.
  Problem problem = random_problem({.n_q = 2, .n_kv = 3, .dim = 1, .value_dim = 1}, 1.0, DType::float32, 7);
  problem.q = store(DType::float32, problem.q.shape, {1e30, -1e30});
  problem.k = store(DType::float32, problem.k.shape, {1e30, 2e30, -3e30});
  problem.v = store(DType::float32, problem.v.shape, {1.0, 2.0, 3.0});
  problem.score = Dot{1.0};
  const Result result = attend(problem);
  EXPECT_EQ(values_of(result.output), (std::vector<double>{2.0, 3.0}));
  EXPECT_TRUE(within_bounds(problem));
}

}  // namespace
}  // namespace polyattn::test
