// Exact attention of order k against closed forms, ordinary attention, the specification and brute force.

#include "engines/exact/stream.hpp"
#include "engines/tuple_heads.hpp"
#include "engines/tuple_sets.hpp"
#include "polyattn/error.hpp"

#include <numeric>

namespace polyattn::engines::test {
namespace {

using polyattn::test::Quad;

template <class T>
class ExactTuples : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactTuples, Arithmetics);

/// Two answers to the same question differ by no more than their bounds allow.
void expect_agree(const Answer& a, const Answer& b, const std::string& what) {
  ASSERT_EQ(a.output.size(), b.output.size());
  for (std::size_t i = 0; i < a.output.size(); ++i) {
    const auto row = i / static_cast<std::size_t>(a.columns);
    ASSERT_LE(std::fabs(a.output[i] - b.output[i]), a.rounding[row] + b.rounding[row]) << what << " row " << row;
  }
  for (std::size_t row = 0; row < a.lse.size(); ++row) {
    if (a.lse[row] != b.lse[row]) {  // -inf
      ASSERT_LE(std::fabs(a.lse[row] - b.lse[row]), a.lse_bound[row] + b.lse_bound[row]) << what << " row " << row;
    }
  }
}

TYPED_TEST(ExactTuples, EqualKeysGiveTheProductOfTheMeans) {
  TupleHead head = random_tuples(1, 3, {4, 300}, 3, 1);
  for (TupleSetData& set : head.sets) {
    std::fill(set.k.begin(), set.k.end(), 0.5);
    std::iota(set.v.begin(), set.v.end(), 1.0);
  }
  const Answer answer = exact_tuples_of<TypeParam>(head);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_LE(std::fabs(answer.output[i] - 2.5 * 150.5), answer.rounding[i]);
    EXPECT_LT(answer.rounding[i], sizeof(TypeParam) == 4 ? 0.1 : 1e-8);
  }
}

// Sums of small whole numbers are exact, so the answer is the correctly rounded quotient.
TYPED_TEST(ExactTuples, WholeNumbersAreExact) {
  for (const auto& sizes : std::vector<std::vector<std::int64_t>>{{7}, {1, 1}, {49, 130}, {5, 7, 2}, {3, 2, 2, 5}}) {
    TupleHead head = random_tuples(2, 50, sizes, 3, 3);
    std::fill(head.q.begin(), head.q.end(), 0.0);
    double tuples = 1.0;
    std::vector<double> product(3, 1.0);
    std::int64_t next = 1;
    for (TupleSetData& set : head.sets) {
      std::vector<double> sum(3, 0.0);
      for (std::size_t i = 0; i < set.v.size(); ++i) {
        set.v[i] = static_cast<double>(next = next * 75 % 61) - 30;
        sum[i % 3] += set.v[i];
      }
      tuples *= static_cast<double>(set.n);
      for (std::size_t c = 0; c < 3; ++c) {
        product[c] *= sum[c];
      }
    }
    const Answer answer = exact_tuples_of<TypeParam>(head);
    for (std::size_t i = 0; i < 150; ++i) {
      ASSERT_EQ(answer.output[i], product[i % 3] / tuples + 0.0);
    }
  }
}

TYPED_TEST(ExactTuples, OneSetIsOrdinaryAttention) {
  std::uint64_t seed = 3;
  for (const std::int64_t n : {1, 100, 2300}) {
    for (const std::int64_t d_v : {0, 3, 16}) {
      Head ordinary = random_head(seed, 53, n, 6, d_v, 1.5);
      std::mt19937_64 random(seed++);
      ordinary.bias = normal(random, n, 2.0);
      ordinary.mask = {true, n - 50};
      TupleHead head = random_tuples(seed++, 53, {n}, 6, d_v);
      head.q = ordinary.q;
      head.sets[0] = {n, ordinary.k, ordinary.v, ordinary.bias, ordinary.mask};
      head.scale = ordinary.score.scale;
      const Answer answer = exact_tuples_of<TypeParam>(head);
      const Answer before = exact<TypeParam>(ordinary);
      expect_agree(answer, before, "one set");
      // The very sums: they differ where order 2 puts the answer into the hull.
      EXPECT_EQ(answer.lse, before.lse);
      EXPECT_EQ(answer.row_max, before.row_max);
      // With a second set of one key, all ones, the rows are the same.
      TupleSetData ones;
      ones.k.assign(6, 1.0);
      ones.v.assign(static_cast<std::size_t>(d_v), 1.0);
      head.sets.push_back(ones);
      const Answer with_ones = exact_tuples_of<TypeParam>(head);
      expect_agree(with_ones, answer, "with ones");
      if (n > 1) {  // of sets with one key each the second is innermost
        EXPECT_EQ(with_ones.output, answer.output);
        EXPECT_EQ(with_ones.lse, answer.lse);
      }
    }
  }
}

TYPED_TEST(ExactTuples, SetsMayChangePlaces) {
  TupleHead head = random_tuples(5, 9, {6, 9, 60}, 5, 2, 2.0);
  std::mt19937_64 random(6);
  head.sets[1].bias = normal(random, 9, 2.0);
  head.sets[2].mask = {true, 0};
  const Answer answer = exact_tuples_of<TypeParam>(head);
  std::vector<std::size_t> order = {0, 1, 2};
  while (std::next_permutation(order.begin(), order.end())) {
    TupleHead other = head;
    for (std::size_t s = 0; s < 3; ++s) {
      other.sets[s] = head.sets[order[s]];
    }
    expect_agree(answer, exact_tuples_of<TypeParam>(other), "permuted");
  }
}

TYPED_TEST(ExactTuples, SumsOfScoresFactorise) {
  const SumOfScores sum = sum_of_scores(6, 110, 700, 20, 1.2);
  expect_product(sum, exact_tuples_of<TypeParam>(sum.head), sizeof(TypeParam) == 4 ? 1e-2 : 1e-10);
}

/// A head with masks and biases of the kind drawn.
TupleHead masked(TupleHead head, std::uint64_t seed, double bias) {
  std::mt19937_64 random(seed);
  for (TupleSetData& set : head.sets) {
    const auto kind = random() % 4;
    set.mask.causal = kind != 0;
    set.mask.offset = kind == 2 ? set.n - head.n_q : 0;
    set.mask.window = kind == 3 ? 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(set.n)) : 0;
    if (random() % 2 == 0) {
      set.bias = normal(random, set.n, bias);
      set.bias[random() % set.bias.size()] = -kInfinity;
    }
  }
  return head;
}

TYPED_TEST(ExactTuples, BoundsHoldAgainstBruteForce) {
  Clearance clearance;
  std::uint64_t seed = 100;
  const std::vector<std::vector<std::int64_t>> shapes = {
      {1}, {200}, {1, 1}, {3, 17}, {49, 20}, {2, 130}, {6, 3, 9}, {3, 2, 4, 5}, {2, 9, 1, 7}, {2, 2, 2, 20}};
  for (const auto& sizes : shapes) {
    for (const std::int64_t d : {1, 5, 33}) {
      for (const double spread : {0.01, 1.0, 50.0}) {
        const std::int64_t d_v = static_cast<std::int64_t>(seed % 11);
        TupleHead head = random_tuples(seed++, 5, sizes, d, d_v, spread);
        judge_tuples(head, exact_tuples_of<TypeParam>(head), clearance, "plain", 2);
        for (int draw = 0; draw < 3; ++draw) {
          const TupleHead other = masked(head, seed++, spread * 5);
          judge_tuples(other, exact_tuples_of<TypeParam>(other), clearance, "masks and biases", 2);
        }
        head.output = DType::float32;
        judge_tuples(head, exact_tuples_of<TypeParam>(head), clearance, "to float32", 2);
        head.storage = DType::float16;  // which float32 holds: the relative form is claimed
        judge_tuples(head, exact_tuples_of<TypeParam>(head), clearance, "from float16", 2);
        head.output = DType::bfloat16;
        head.gaps = true;
        judge_tuples(head, exact_tuples_of<TypeParam>(head), clearance, "from float16 to bfloat16", 2);
        ASSERT_FALSE(this->HasFatalFailure());
      }
    }
  }
  EXPECT_EQ(clearance.known, clearance.rows);
  clearance.print(sizeof(TypeParam) == 4 ? "float32, order k" : "float64, order k");
}

TYPED_TEST(ExactTuples, BoundsHoldInBinary128) {
  Clearance clearance;
  std::uint64_t seed = 500;
  for (const auto& sizes : std::vector<std::vector<std::int64_t>>{{40}, {9, 30}, {4, 3, 8}, {3, 2, 2, 4}}) {
    for (const double spread : {0.1, 2.0, 30.0}) {
      const TupleHead head = masked(random_tuples(seed, 8, sizes, 4, 3, spread), seed + 1, spread);
      judge_tuples<Quad>(head, exact_tuples_of<TypeParam>(head), clearance, "binary128");
      expect_agree(exact_tuples_of<TypeParam>(head), reference_tuples_of(head), "reference");
      seed += 2;
      ASSERT_FALSE(this->HasFatalFailure());
    }
  }
  clearance.print("against binary128");
}

// More rows than one segment joins, more keys than one superblock holds, more queries than one batch.
TYPED_TEST(ExactTuples, LargerThanItsPieces) {
  Clearance clearance;
  const auto check = [&](const TupleHead& head, std::int64_t stride) {
    judge_tuples(head, exact_tuples_of<TypeParam>(head, 2), clearance, "large", stride);
  };
  check(random_tuples(40, 2, {1030, 1100}, 2, 1), 1);
  check(random_tuples(41, 2, {30, 2500}, 3, 9), 1);
  check(random_tuples(42, 2, {40, 30, 50}, 3, 2), 1);
  check(random_tuples(43, 2, {12, 10, 11, 13}, 2, 2), 1);
  check(masked(random_tuples(44, 2100, {40, 50}, 3, 2), 45, 3.0), 97);
  TupleHead windows = random_tuples(46, 700, {700, 700}, 3, 2);
  windows.sets[0].mask = {true, 0};
  windows.sets[0].mask.window = 150;
  windows.sets[1].mask = windows.sets[0].mask;
  windows.sets[1].mask.window = 20;
  check(windows, 41);
  clearance.print("larger than its pieces");
}

TYPED_TEST(ExactTuples, NoVisibleTupleGivesZeros) {
  TupleHead head = random_tuples(11, 5, {6, 4}, 2, 2);
  head.sets[0].mask = {true, -2};                   // the first two rows see nothing of the first set
  head.sets[0].bias = {-kInfinity, 0, 1, 0, 0, 0};  // the third row sees only a hidden key
  Clearance clearance;
  judge_tuples(head, exact_tuples_of<TypeParam>(head), clearance, "empty rows");
  head.sets[1].bias.assign(4, -kInfinity);
  judge_tuples(head, exact_tuples_of<TypeParam>(head), clearance, "all hidden");
  head.sets[1] = {0, {}, {}, {}, {}};
  judge_tuples(head, exact_tuples_of<TypeParam>(head), clearance, "no keys");
  head.n_q = 0;
  head.q.clear();
  EXPECT_TRUE(exact_tuples_of<TypeParam>(head).lse.empty());
}

TYPED_TEST(ExactTuples, BoundKnownBeforehandIsNeverBelow) {
  std::uint64_t seed = 600;
  for (const auto& sizes : std::vector<std::vector<std::int64_t>>{{300}, {9, 200}, {4, 30, 8}, {3, 2, 2, 4}}) {
    for (const double spread : {0.1, 2.0, 300.0}) {
      for (const DType type : {DType::float64, DType::float16}) {
        TupleHead head = masked(random_tuples(seed, 20, sizes, 5, 3, spread), seed + 1, 0.1 * spread);
        head.storage = type;
        head.output = spread > 1 ? DType::float32 : DType::float64;
        seed += 2;
        const PreparedTuples prepared(head);
        const ExactBound bound = bound_of<TypeParam>(exact_tuple_bounds(prepared.problem, head.output));
        const Answer answer = exact_tuples_of<TypeParam>(head);
        for (std::size_t i = 0; i < answer.rounding.size(); ++i) {
          ASSERT_LE(answer.rounding[i], bound.rounding) << spread;
          ASSERT_LE(answer.lse_bound[i], bound.lse);
          if (answer.lse[i] != -kInfinity) {
            ASSERT_LE(answer.relative[i], bound.relative);
          }
        }
        // And worth something: one row cannot be so much better than the worst.
        if (spread < 1) {
          EXPECT_LE(bound.rounding, 300 * *std::max_element(answer.rounding.begin(), answer.rounding.end()));
        }
      }
    }
  }
}

TYPED_TEST(ExactTuples, WorkAndMemoryAreAsPredicted) {
  for (const auto& sizes : std::vector<std::vector<std::int64_t>>{{300}, {100, 2000}, {40, 30, 50}}) {
    TupleHead head = random_tuples(70, 30, sizes, 7, 5);
    head.sets.front().bias.assign(static_cast<std::size_t>(sizes.front()), 0.0);
    head.sets.front().bias.back() = -kInfinity;
    const PreparedTuples prepared(head);
    for (const int threads : {1, 3}) {
      base::MemoryMeter memory;
      exact_tuples_of<TypeParam>(head, threads, RowList{}, -1, &memory);
      const auto predicted = static_cast<std::uint64_t>(
          exact_tuple_bytes(prepared.problem, 30, threads, static_cast<std::int64_t>(sizeof(TypeParam))));
      EXPECT_LE(memory.peak(), predicted);
      EXPECT_GE(2 * memory.peak() + 4'000'000, predicted);
      EXPECT_EQ(memory.used(), 0U);
    }
    const double work = exact_tuple_work(prepared.problem, RowList{});
    double last = 0.0;
    base::ProgressMeter meter([&](double done) { return (last = done) >= 0.0; }, work);
    collect(head.n_q, head.d_v, head.output, [&](const HeadOutputs& out) {
      exact_tuples<TypeParam>(prepared.problem, RowList{}, out, base::Context{2, nullptr, &meter});
    });
    EXPECT_NEAR(last, 1.0, 1e-9);  // sums of about a hundred parts
    base::ProgressMeter cancelling([](double) { return false; }, work);
    EXPECT_THROW(
        collect(head.n_q, head.d_v, head.output,
                [&](const HeadOutputs& out) {
                  exact_tuples<TypeParam>(prepared.problem, RowList{}, out, base::Context{2, nullptr, &cancelling});
                }),
        Error);
  }
}

}  // namespace
}  // namespace polyattn::engines::test
