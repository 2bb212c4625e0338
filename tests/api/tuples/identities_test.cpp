// What must hold of attention of order k whatever its sums are.

#include "support/answer.hpp"
#include "support/choices.hpp"
#include "support/tuple_call.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

namespace polyattn::test {
namespace {

class TupleIdentities : public testing::TestWithParam<Choice> {
 protected:
  static Answer answer(const TupleCall& tuples) {
    return answer_of(attend(tuples, with_certificates(forced(GetParam(), 8))));
  }
};

std::vector<double> ones(std::size_t count) { return std::vector<double>(count, 1.0); }

TEST_P(TupleIdentities, ASetOfOneKeyOfOnesIsOrderTwo) {
  TupleCall tuples = random_tuples({.n = {40, 1}, .n_q = 9}, 1.0, DType::float64, 1);
  tuples.k[1] = store(DType::float64, {1, 1, 1, 3}, ones(3));
  tuples.v[1] = store(DType::float64, {1, 1, 1, 2}, ones(2));
  Problem pairs;
  pairs.q = tuples.q;
  pairs.k = tuples.k[0];
  pairs.v = tuples.v[0];
  pairs.score = Dot{tuples.scale};
  EXPECT_TRUE(agree(answer(tuples), polyattn::test::answer(pairs, forced(GetParam(), 8))));
}

TEST_P(TupleIdentities, SetsMayBeExchanged) {
  TupleCall tuples = random_tuples({.n = {12, 7, 3}, .n_q = 5}, 1.0, DType::float64, 2);
  add_biases(tuples, -1.0, 1.0, 3);
  TupleCall exchanged = tuples;
  for (auto* list : {&exchanged.k, &exchanged.v, &exchanged.bias}) {
    std::swap((*list)[0], (*list)[2]);
  }
  EXPECT_TRUE(agree(answer(tuples), answer(exchanged)));
}

TEST_P(TupleIdentities, ValuesOfOneSetAlone) {
  // With k2 = 0 every score is 0: the answer is the product of the means, and D = n1 n2.
  TupleCall tuples = random_tuples({.n = {6, 5}, .n_q = 2, .dim = 2, .value_dim = 1}, 1.0, DType::float64, 4);
  tuples.k[1] = store(DType::float64, {1, 1, 5, 2}, std::vector<double>(10, 0.0));
  const Answer got = answer(tuples);
  double means[2] = {0.0, 0.0};
  for (std::size_t s = 0; s < 2; ++s) {
    for (const double v : tuples.v[s].values) {
      means[s] += v / static_cast<double>(tuples.v[s].values.size());
    }
  }
  for (std::size_t r = 0; r < 2; ++r) {
    EXPECT_NEAR(got.output[r], means[0] * means[1], got.bounds[r] + 1e-15);
    EXPECT_NEAR(got.lse[r], std::log(30.0), got.lse_bounds[r] + 1e-15);
  }
}

TEST_P(TupleIdentities, AScoreOfSumsFactorises) {
  // Coordinates (x, 1) and (1, y) make q k1 k2 = q_a x + q_b y: two attentions of order 2, multiplied.
  const TupleCall draw = random_tuples({.n = {9, 8}, .n_q = 4, .dim = 1, .value_dim = 1}, 1.0, DType::float64, 5);
  const auto with = [&](const Stored& x, bool first) {
    std::vector<double> rows;
    for (const double entry : x.values) {
      rows.push_back(first ? entry : 1.0);
      rows.push_back(first ? 1.0 : entry);
    }
    return store(DType::float64, {1, 1, x.shape[2], 2}, rows);
  };
  TupleCall tuples = draw;
  std::vector<double> queries;
  Random random(6);
  std::vector<Problem> parts(2);
  std::vector<std::vector<double>> own(2);
  for (int i = 0; i < 4; ++i) {
    for (std::size_t s = 0; s < 2; ++s) {
      own[s].push_back(random.uniform(-1.0, 1.0));
      queries.push_back(own[s].back());
    }
  }
  tuples.q = store(DType::float64, {1, 1, 4, 2}, queries);
  tuples.k = {with(draw.k[0], true), with(draw.k[1], false)};
  const Answer got = answer(tuples);
  std::vector<Answer> of;
  for (std::size_t s = 0; s < 2; ++s) {
    parts[s].q = store(DType::float64, {1, 1, 4, 1}, own[s]);
    parts[s].k = draw.k[s];
    parts[s].v = draw.v[s];
    parts[s].score = Dot{tuples.scale};
    of.push_back(polyattn::test::answer(parts[s], forced({Engine::reference, Arithmetic::float64})));
  }
  for (std::size_t r = 0; r < 4; ++r) {
    const double product = of[0].output[r] * of[1].output[r];
    EXPECT_NEAR(got.output[r], product, got.bounds[r] + 4.0 * (of[0].bounds[r] + of[1].bounds[r]) + 1e-15);
    EXPECT_NEAR(got.lse[r], of[0].lse[r] + of[1].lse[r],
                got.lse_bounds[r] + of[0].lse_bounds[r] + of[1].lse_bounds[r] + 1e-15);
  }
}

TEST_P(TupleIdentities, CausalRowsAreThoseOfTheirPrefixes) {
  if (GetParam().engine == Engine::polynomial && GetParam().arithmetic == Arithmetic::float32) {
    GTEST_SKIP();
  }
  TupleCall tuples = random_tuples({.n = {8, 8}, .n_q = 8}, 1.0, DType::float64, 7);
  tuples.causal = Causal::upper_left;
  const Answer all = answer(tuples);
  const std::int64_t row = 4;
  const auto prefix = [&](const Stored& from, std::int64_t count) {
    const auto columns = static_cast<std::size_t>(from.shape[3]);
    return store(DType::float64, {1, 1, count, from.shape[3]},
                 {from.values.begin(), from.values.begin() + count * static_cast<std::int64_t>(columns)});
  };
  TupleCall part = tuples;
  part.causal = Causal::none;
  part.q = store(DType::float64, {1, 1, 1, 3}, {tuples.q.row(0, 0, row), tuples.q.row(0, 0, row) + 3});
  for (std::size_t s = 0; s < 2; ++s) {
    part.k[s] = prefix(tuples.k[s], row + 1);
    part.v[s] = prefix(tuples.v[s], row + 1);
  }
  const Answer own = answer(part);
  for (std::size_t c = 0; c < 2; ++c) {
    EXPECT_NEAR(own.output[c], all.output[static_cast<std::size_t>(row) * 2 + c],
                own.bounds[0] + all.bounds[static_cast<std::size_t>(row)]);
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, TupleIdentities, testing::ValuesIn(choices()),
                         [](const auto& of) { return of.param.name(); });

}  // namespace
}  // namespace polyattn::test
