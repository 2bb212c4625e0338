// A query's bits depend on it, the keys it sees, their values and biases, and the sets' lengths and windows.

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

void expect_same(const Answer& a, const Answer& b, const std::string& what) {
  EXPECT_EQ(a.output, b.output) << what;
  EXPECT_EQ(a.lse, b.lse) << what;
  EXPECT_EQ(a.row_max, b.row_max) << what;
  EXPECT_EQ(a.rounding, b.rounding) << what;
  EXPECT_EQ(a.relative, b.relative) << what;
  EXPECT_EQ(a.lse_bound, b.lse_bound) << what;
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
    const Answer all = exact_tuples_of<TypeParam>(head);
    // Every seventh row, backwards, into targets of its own; then single rows.
    RowList list;
    list.all = false;
    for (std::int64_t i = head.n_q - 1; i >= 0; i -= 7) {
      list.rows.push_back(i);
      list.targets.push_back(static_cast<std::int64_t>(list.targets.size()));
    }
    const auto check = [&](const Answer& some) {
      for (std::size_t t = 0; t < list.rows.size(); ++t) {
        const auto row = static_cast<std::size_t>(list.rows[t]);
        const auto d_v = static_cast<std::size_t>(head.d_v);
        for (std::size_t c = 0; c < d_v; ++c) {
          ASSERT_EQ(some.output[t * d_v + c], all.output[row * d_v + c]) << "row " << row;
        }
        ASSERT_EQ(some.lse[t], all.lse[row]) << "row " << row;
        ASSERT_EQ(some.rounding[t], all.rounding[row]) << "row " << row;
      }
    };
    check(exact_tuples_of<TypeParam>(head, 2, list, static_cast<std::int64_t>(list.rows.size())));
    for (const std::int64_t row : {std::int64_t{0}, head.n_q / 2, head.n_q - 1}) {
      list.rows = {row};
      list.targets = {0};
      check(exact_tuples_of<TypeParam>(head, 1, list, 1));
    }
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
