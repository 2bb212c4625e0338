// Attention of order 3 to 5 against its definition in long double, by every engine, within the bounds it claims.

#include "support/choices.hpp"
#include "support/tuple_call.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace polyattn::test {
namespace {

class TupleAnswers : public testing::TestWithParam<Choice> {
 protected:
  static Options options(int degree = 8) { return forced(GetParam(), degree); }
  /// The polynomial engine sums what rows see differently in float64 only.
  static bool narrow_polynomial() {
    return GetParam().engine == Engine::polynomial && GetParam().arithmetic == Arithmetic::float32;
  }
};

TEST_P(TupleAnswers, AreThoseOfTheDefinition) {
  const std::vector<TupleShape> shapes{{.n = {7, 5}},
                                       {.n = {1, 9}, .n_q = 3, .dim = 1, .value_dim = 1},
                                       {.n = {130, 3}, .n_q = 2, .dim = 5, .value_dim = 9},
                                       {.n = {3, 140}, .n_q = 50, .dim = 2, .value_dim = 4},
                                       {.n = {4, 3, 5}, .n_q = 5},
                                       {.n = {3, 4, 2, 5}, .n_q = 3, .dim = 2, .value_dim = 3}};
  std::uint64_t seed = 1;
  for (const TupleShape& shape : shapes) {
    for (const DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
      const TupleCall tuples = random_tuples(shape, 1.5, dtype, seed++);
      EXPECT_TRUE(within_bounds(tuples, options())) << "order " << tuples.order() << ", " << name_of(dtype);
      Options narrow = options();
      narrow.output_dtype = DType::bfloat16;
      EXPECT_TRUE(within_bounds(tuples, narrow)) << "order " << tuples.order() << ", " << name_of(dtype);
    }
  }
}

TEST_P(TupleAnswers, WithGroupedHeadsAndBatch) {
  const TupleCall tuples =
      random_tuples({.n = {6, 4}, .n_q = 3, .batch = 2, .heads = 6, .key_heads = {3, 2}}, 1.0, DType::float32, 11);
  EXPECT_TRUE(within_bounds(tuples, options()));
}

TEST_P(TupleAnswers, WithBiasesAndHiddenKeys) {
  for (const std::uint64_t seed : {21U, 22U, 23U}) {
    TupleCall tuples = random_tuples({.n = {9, 7}, .n_q = 4, .heads = 2}, 1.0, DType::float32, seed);
    add_biases(tuples, -2.0, 1.0, seed);
    EXPECT_TRUE(within_bounds(tuples, options()));
  }
}

TEST_P(TupleAnswers, OfHiddenKeysNothingIsRead) {
  TupleCall tuples = random_tuples({.n = {6, 5}, .n_q = 3, .dim = 2}, 1.0, DType::float64, 31);
  tuples.bias = {store(DType::float64, {1, 1, 6, 1}, {0.0, -kInfinity, 0.5, 0.0, 0.0, -kInfinity}),
                 store(DType::float64, {1, 1, 5, 1}, {-kInfinity, 0.0, 0.0, 0.0, 0.25})};
  for (const double poison : {std::nan(""), kInfinity}) {
    TupleCall poisoned = tuples;
    for (const std::size_t row : {1U, 5U}) {
      poisoned.k[0].values[2 * row] = poisoned.v[0].values[2 * row + 1] = poison;
    }
    poisoned.k[1].values[1] = poisoned.v[1].values[0] = poison;
    for (std::vector<Stored>* list : {&poisoned.k, &poisoned.v}) {
      for (Stored& tensor : *list) {
        tensor = store(tensor.dtype, tensor.shape, tensor.values);
      }
    }
    EXPECT_TRUE(within_bounds(poisoned, options()));
    EXPECT_EQ(bits_of(attend(poisoned, options()).output), bits_of(attend(tuples, options()).output));
  }
}

TEST_P(TupleAnswers, Causal) {
  if (narrow_polynomial()) {
    GTEST_SKIP();
  }
  for (const Causal causal : {Causal::upper_left, Causal::lower_right}) {
    for (const std::vector<std::int64_t>& n : {std::vector<std::int64_t>{9, 9}, {4, 12}, {12, 6, 5}}) {
      TupleCall tuples = random_tuples({.n = n, .n_q = 9}, 1.0, DType::float32, 41);
      tuples.causal = causal;
      EXPECT_TRUE(within_bounds(tuples, options()));
      add_biases(tuples, -1.0, 1.0, 42);
      EXPECT_TRUE(within_bounds(tuples, options()));
    }
  }
}

TEST_P(TupleAnswers, WindowsOfEverySet) {
  if (narrow_polynomial()) {
    GTEST_SKIP();
  }
  for (const Causal causal : {Causal::none, Causal::upper_left, Causal::lower_right}) {
    TupleCall tuples = random_tuples({.n = {12, 10}, .n_q = 11}, 1.0, DType::float32, 51);
    tuples.causal = causal;
    tuples.window = {5, 2};
    EXPECT_TRUE(within_bounds(tuples, options()));
    tuples.window = {1, 1000};
    add_biases(tuples, -1.0, 1.0, 52);
    EXPECT_TRUE(within_bounds(tuples, options()));
  }
}

TEST_P(TupleAnswers, ScalesOfEitherSignAndZero) {
  for (const double scale : {-0.7, 0.0, 0.3}) {
    TupleCall tuples = random_tuples({.n = {8, 6}}, 1.0, DType::float64, 61);
    tuples.scale = scale;
    EXPECT_TRUE(within_bounds(tuples, options()));
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, TupleAnswers, testing::ValuesIn(choices()),
                         [](const auto& of) { return of.param.name(); });

TEST(TupleRows, AreExactRowsInFloat64) {
  TupleCall tuples = random_tuples({.n = {9, 7}, .n_q = 6, .heads = 2}, 1.0, DType::float32, 71);
  tuples.causal = Causal::upper_left;
  Options options = tuples.options();
  options.want_lse = options.want_row_max = true;
  const std::vector<std::int64_t> rows{4, 0, 4};
  const Result some = attend_rows(tuples.q.view(), tuples.keys(), tuples.values(), rows, options);
  const CallTruth truth = truth_of(tuples);
  const std::vector<double> output = values_of(some.output);
  const std::vector<double> bounds = values_of(some.row_bounds.value());
  const std::vector<double> row_max = values_of(some.row_max.value());
  for (std::size_t h = 0; h < 2; ++h) {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const std::size_t row = h * 6 + static_cast<std::size_t>(rows[r]);
      for (std::size_t c = 0; c < 2; ++c) {
        EXPECT_LE(std::fabs(output[(h * 3 + r) * 2 + c] - static_cast<double>(truth.output[row * 2 + c])),
                  bounds[h * 3 + r] + truth.doubt[row * 2 + c]);
      }
      EXPECT_NEAR(row_max[h * 3 + r], static_cast<double>(truth.row_max[row]), 1e-14);
    }
  }
  EXPECT_EQ(some.report.heads.front().order, 3);
}

}  // namespace
}  // namespace polyattn::test
