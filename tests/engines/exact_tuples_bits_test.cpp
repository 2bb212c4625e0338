// A query's bits depend on it, the keys it sees, their values and biases, and the sets' lengths and windows.

#include "engines/exact_bits.hpp"
#include "engines/tuple_heads.hpp"
#include "simd/dispatch.hpp"

namespace polyattn::engines::test {
namespace {

template <class T>
class ExactTuplesBits : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactTuplesBits, Arithmetics);

/// Small problems of every kind.
std::vector<TupleHead> zoo() {
  std::vector<TupleHead> heads;
  std::uint64_t seed = 1;
  for (const auto& sizes :
       std::vector<std::vector<std::int64_t>>{{150}, {70, 130}, {1500, 20}, {9, 11, 40}, {3, 5, 4, 9}}) {
    for (const std::int64_t d_v : {0, 1, 13}) {
      TupleHead head = random_tuples(seed++, 60, sizes, 5, d_v, 2.0);
      heads.push_back(head);
      std::mt19937_64 random(seed++);
      for (TupleSetData& set : head.sets) {
        set.mask = {true, set.n / 2};
        set.bias = normal(random, set.n, 3.0);
        set.bias[0] = -kInfinity;
      }
      heads.push_back(head);
      head.sets.front().mask.window = 5;
      head.sets.back().mask = {true, -3};
      head.storage = DType::float32;
      head.output = DType::float32;
      heads.push_back(head);
    }
  }
  return heads;
}

TYPED_TEST(ExactTuplesBits, SameForEveryInstructionSet) {
  for (const TupleHead& head : zoo()) {
    const Answer first = exact_tuples_of<TypeParam>(head);
    for (const simd::KernelTable* table : simd::available()) {
      const ForcedIsa forced(table->name);
      expect_same(first, exact_tuples_of<TypeParam>(head), table->name);
    }
  }
}

TYPED_TEST(ExactTuplesBits, SameForAnyThreads) {
  for (const TupleHead& head : zoo()) {
    const Answer one = exact_tuples_of<TypeParam>(head, 1);
    expect_same(one, exact_tuples_of<TypeParam>(head, 2), "2 threads");
    expect_same(one, exact_tuples_of<TypeParam>(head, 5), "5 threads");
  }
}

TYPED_TEST(ExactTuplesBits, SameAloneOrInCompany) {
  for (const TupleHead& head : zoo()) {
    expect_same_alone_or_in_company(head.n_q, 7, [&](int threads, const RowList& list, std::int64_t rows) {
      return exact_tuples_of<TypeParam>(head, threads, list, rows);
    });
  }
}

TYPED_TEST(ExactTuplesBits, SameInAnotherStorage) {
  // The numbers are float16 numbers, so every type holds them.
  TupleHead head = random_tuples(77, 20, {30, 40}, 6, 5);
  const auto coarse = [](std::vector<double>& numbers) {
    for (double& x : numbers) {
      x = std::round(x * 64) / 64;
    }
  };
  coarse(head.q);
  for (TupleSetData& set : head.sets) {
    coarse(set.k);
    coarse(set.v);
  }
  head.storage = DType::float64;
  const Answer wide = exact_tuples_of<TypeParam>(head);
  for (const DType type : {DType::float32, DType::float16}) {
    head.storage = type;
    head.gaps = !head.gaps;
    const Answer narrow = exact_tuples_of<TypeParam>(head);
    EXPECT_EQ(wide.output, narrow.output);
    EXPECT_EQ(wide.lse, narrow.lse);
  }
}

// Row i of a causal problem is the last row of the problem cut behind it, bit by bit where the sets are equally long.
TYPED_TEST(ExactTuplesBits, CausalRowsAreThoseOfThePrefix) {
  for (const std::int64_t window : {0, 30}) {
    TupleHead head = random_tuples(78, 150, {150, 150}, 4, 9);
    for (TupleSetData& set : head.sets) {
      set.mask = {true, 0};
    }
    head.sets[0].mask.window = window;
    const Answer all = exact_tuples_of<TypeParam>(head);
    for (const std::int64_t i : {0, 1, 29, 30, 31, 47, 48, 127, 128, 149}) {
      if (window > 0 && i + 1 <= window) {
        continue;  // the cut problem's window reaches as far as its keys: another set may be innermost
      }
      TupleHead cut = head;
      cut.n_q = i + 1;
      cut.q.resize(static_cast<std::size_t>(cut.n_q * 4));
      for (TupleSetData& set : cut.sets) {
        set.n = i + 1;
        set.k.resize(static_cast<std::size_t>(set.n * 4));
        set.v.resize(static_cast<std::size_t>(set.n * 9));
      }
      const Answer prefix = exact_tuples_of<TypeParam>(cut);
      const auto row = static_cast<std::size_t>(i);
      ASSERT_EQ(prefix.lse[row], all.lse[row]) << i;
      for (std::size_t c = 0; c < 9; ++c) {
        ASSERT_EQ(prefix.output[row * 9 + c], all.output[row * 9 + c]) << i;
      }
    }
  }
}

TYPED_TEST(ExactTuplesBits, LaterKeysDoNotTouchCausalRows) {
  TupleHead head = random_tuples(79, 64, {400, 300}, 4, 9);
  head.sets[0].mask = {true, 100};
  head.sets[1].mask = {true, 20};
  const Answer before = exact_tuples_of<TypeParam>(head);
  for (std::size_t j = 164; j < 400; ++j) {  // seen by no row
    for (std::size_t l = 0; l < 4; ++l) {
      head.sets[0].k[j * 4 + l] *= 0.25;
    }
  }
  for (std::size_t j = 84 * 9; j < 300 * 9; ++j) {
    head.sets[1].v[j] *= 0.5;
  }
  const Answer after = exact_tuples_of<TypeParam>(head);
  EXPECT_EQ(before.output, after.output);
  EXPECT_EQ(before.lse, after.lse);
}

}  // namespace
}  // namespace polyattn::engines::test
