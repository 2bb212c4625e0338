// The specification of order k against closed forms, ordinary attention and brute force in higher precision.

#include "engines/tuple_heads.hpp"
#include "polyattn/error.hpp"

#include <numeric>

namespace polyattn::engines::test {
namespace {

using polyattn::test::Quad;

/// Two answers to the same question differ by no more than their bounds allow.
void expect_agree(const Answer& a, const Answer& b, const std::string& what) {
  ASSERT_EQ(a.output.size(), b.output.size());
  for (std::size_t i = 0; i < a.output.size(); ++i) {
    const auto row = i / static_cast<std::size_t>(a.columns);
    EXPECT_LE(std::fabs(a.output[i] - b.output[i]), a.rounding[row] + b.rounding[row]) << what << " row " << row;
  }
  for (std::size_t row = 0; row < a.lse.size(); ++row) {
    EXPECT_LE(std::fabs(a.lse[row] - b.lse[row]), a.lse_bound[row] + b.lse_bound[row]) << what << " row " << row;
  }
}

TEST(ReferenceTuples, EqualKeysGiveTheProductOfTheMeans) {
  TupleHead head = random_tuples(1, 3, {4, 5}, 3, 2);
  for (TupleSetData& set : head.sets) {
    std::fill(set.k.begin(), set.k.end(), 0.5);
  }
  head.sets[0].v = {1, -1, 2, -1, 3, -1, 6, -1};
  head.sets[1].v = {0, 4, 2, 4, 4, 4, 6, 4, 8, 4};
  const Answer answer = reference_tuples_of(head);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_LE(std::fabs(answer.output[2 * i] - 12.0), answer.rounding[i]);
    EXPECT_LT(answer.rounding[i], 1e-12);
    EXPECT_EQ(answer.output[2 * i + 1], -4.0);
  }
}

TEST(ReferenceTuples, OneTupleIsTheProductOfItsValues) {
  for (std::size_t sets = 1; sets <= 4; ++sets) {
    const TupleHead head = random_tuples(2, 2, std::vector<std::int64_t>(sets, 1), 4, 3, 10.0);
    const Answer answer = reference_tuples_of(head);
    for (std::size_t c = 0; c < 3; ++c) {
      double product = 1.0;
      for (const TupleSetData& set : head.sets) {
        product *= set.v[c];
      }
      EXPECT_EQ(answer.output[c], product);
    }
  }
}

TEST(ReferenceTuples, FourTuplesAreWhatTheyAre) {
  // d = 1, keys +-1 and values +-1 in both sets: scores +-q, T = tanh(q), D = 4 cosh(q).
  TupleHead head;
  head.n_q = 4;
  head.q = {-3.0, 0.0, 0.5, 40.0};
  TupleSetData set;
  set.n = 2;
  set.k = {1.0, -1.0};
  set.v = {1.0, -1.0};
  head.sets = {set, set};
  const Answer answer = reference_tuples_of(head);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_LE(std::fabs(answer.output[i] - std::tanh(head.q[i])), answer.rounding[i] + 0x1p-53);
    EXPECT_LE(std::fabs(answer.lse[i] - std::log(4 * std::cosh(head.q[i]))), answer.lse_bound[i] + 0x1p-46);
    EXPECT_LT(answer.rounding[i], 1e-13);
  }
}

TEST(ReferenceTuples, OneSetIsOrdinaryAttention) {
  for (const double spread : {0.1, 1.0, 20.0}) {
    Head ordinary = random_head(3, 5, 40, 6, 3, spread);
    std::mt19937_64 random(4);
    ordinary.bias = normal(random, 40, spread);
    ordinary.mask = {true, 30};
    TupleHead head = random_tuples(3, 5, {40}, 6, 3);
    head.q = ordinary.q;
    head.sets[0] = {40, ordinary.k, ordinary.v, ordinary.bias, ordinary.mask};
    head.scale = ordinary.score.scale;
    expect_agree(reference_tuples_of(head), reference(ordinary), "one set");
    // A second set of one key, all ones, changes nothing.
    TupleSetData ones;
    ones.k.assign(6, 1.0);
    ones.v.assign(3, 1.0);
    head.sets.push_back(ones);
    expect_agree(reference_tuples_of(head), reference(ordinary), "with ones");
    // Nor does one of many such keys, but for the number of tuples.
    head.sets[1].n = 3;
    head.sets[1].k.assign(18, 1.0);
    head.sets[1].v.assign(9, 1.0);
    Answer many = reference_tuples_of(head);
    for (double& lse : many.lse) {
      lse -= std::log(3.0);
    }
    for (double& bound : many.lse_bound) {
      bound += 0x1p-46;  // of log and the subtraction
    }
    expect_agree(many, reference(ordinary), "with three ones");
  }
}

TEST(ReferenceTuples, SetsMayChangePlaces) {
  TupleHead head = random_tuples(5, 4, {6, 9, 3}, 5, 2, 2.0);
  std::mt19937_64 random(6);
  head.sets[1].bias = normal(random, 9, 2.0);
  head.sets[2].mask = {true, 0};
  const Answer answer = reference_tuples_of(head);
  std::vector<std::size_t> order = {0, 1, 2};
  while (std::next_permutation(order.begin(), order.end())) {
    TupleHead other = head;
    for (std::size_t s = 0; s < 3; ++s) {
      other.sets[s] = head.sets[order[s]];
    }
    expect_agree(answer, reference_tuples_of(other), "permuted");
  }
}

/// A score q.k1 + q.k2 is one of order 3 in twice as many coordinates, and its softmax that of two independent keys.
TEST(ReferenceTuples, SumsOfScoresFactorise) {
  const std::int64_t d = 4;
  const Head first = random_head(7, 6, 11, d, 3, 1.5);
  Head second = random_head(8, 6, 7, d, 3, 1.5);
  second.q = first.q;
  TupleHead head = random_tuples(9, 6, {11, 7}, 2 * d, 3);
  head.scale = first.score.scale;
  const auto widen = [&](const std::vector<double>& from, std::int64_t rows, int place) {
    std::vector<double> out(static_cast<std::size_t>(rows * 2 * d), 1.0);
    for (std::int64_t r = 0; r < rows; ++r) {
      std::copy_n(from.begin() + r * d, d, out.begin() + r * 2 * d + (place == 1 ? d : 0));
      if (place == 2) {
        std::copy_n(from.begin() + r * d, d, out.begin() + r * 2 * d + d);
      }
    }
    return out;
  };
  head.q = widen(first.q, 6, 2);
  head.sets[0].k = widen(first.k, 11, 0);
  head.sets[1].k = widen(second.k, 7, 1);
  head.sets[0].v = first.v;
  head.sets[1].v = second.v;
  const Answer answer = reference_tuples_of(head);
  const Answer one = reference(first);
  const Answer two = reference(second);
  for (std::size_t i = 0; i < answer.output.size(); ++i) {
    const std::size_t row = i / 3;
    const double product = one.output[i] * two.output[i];
    const double bound = one.rounding[row] * (std::fabs(two.output[i]) + two.rounding[row]) +
                         two.rounding[row] * std::fabs(one.output[i]) + 0x1p-53 * std::fabs(product);
    EXPECT_LE(std::fabs(answer.output[i] - product), answer.rounding[row] + bound);
    EXPECT_LT(answer.rounding[row], 1e-11);
  }
}

TEST(ReferenceTuples, HiddenKeysAreNeverRead) {
  TupleHead head = random_tuples(10, 4, {8, 9}, 3, 2);
  for (TupleSetData& set : head.sets) {
    set.bias.assign(static_cast<std::size_t>(set.n), 0.0);
    for (const std::size_t j : {0U, 5U}) {
      set.bias[j] = -kInfinity;
      std::fill_n(set.k.begin() + static_cast<std::ptrdiff_t>(3 * j), 3, kNan);
      std::fill_n(set.v.begin() + static_cast<std::ptrdiff_t>(2 * j), 2, kInfinity);
    }
  }
  Clearance clearance;
  judge_tuples(head, reference_tuples_of(head), clearance, "hidden");
}

TEST(ReferenceTuples, NoVisibleTupleGivesZeros) {
  TupleHead head = random_tuples(11, 5, {6, 4}, 2, 2);
  head.sets[0].mask = {true, -2};                   // the first two rows see nothing of the first set
  head.sets[0].bias = {-kInfinity, 0, 1, 0, 0, 0};  // the third row sees only a hidden key
  Clearance clearance;
  judge_tuples(head, reference_tuples_of(head), clearance, "empty rows");
  head.sets[1] = {0, {}, {}, {}, {}};
  judge_tuples(head, reference_tuples_of(head), clearance, "no keys");
}

TEST(ReferenceTuples, BoundsHoldAgainstBruteForce) {
  Clearance clearance;
  std::uint64_t seed = 100;
  const std::vector<std::vector<std::int64_t>> shapes = {{1}, {30}, {1, 1}, {3, 17}, {12, 5}, {4, 3, 6}, {3, 2, 4, 3}};
  for (const auto& sizes : shapes) {
    for (const std::int64_t d : {1, 3, 17}) {
      for (const double spread : {0.01, 1.0, 50.0}) {
        TupleHead head = random_tuples(seed++, 3, sizes, d, 2, spread);
        judge_tuples<Quad>(head, reference_tuples_of(head), clearance, "plain");
        std::mt19937_64 random(seed++);
        for (TupleSetData& set : head.sets) {
          set.mask = {true, set.n - 2};
          set.bias = normal(random, set.n, spread * 10);
        }
        head.sets.back().mask.window = 3;
        judge_tuples<Quad>(head, reference_tuples_of(head), clearance, "masks and biases");
        head.sets.front().bias.front() = -1e30;
        judge_tuples<Quad>(head, reference_tuples_of(head), clearance, "hidden by a large number");
        head.output = DType::float32;
        judge_tuples<Quad>(head, reference_tuples_of(head, 3), clearance, "to float32");
        head.output = DType::bfloat16;
        judge_tuples(head, reference_tuples_of(head), clearance, "to bfloat16");
        head.storage = DType::float16;
        head.gaps = true;
        judge_tuples(head, reference_tuples_of(head), clearance, "from float16");
        ASSERT_FALSE(HasFatalFailure());
      }
    }
  }
  EXPECT_EQ(clearance.known, clearance.rows);
  clearance.print("reference of order k");
}

// Tuples far below the largest count as any other for the relative form, until their weights leave the normal range.
TEST(ReferenceTuples, RelativeFormReachesAsFarAsFloat64) {
  Clearance clearance;
  std::uint64_t seed = 400;
  for (const double span : {50.0, 63.0, 70.0, 200.0, 430.0, 650.0, 678.0, 700.0, 900.0}) {
    for (const std::int64_t d : {1, 16, 130}) {
      TupleHead head = random_tuples(seed++, 2, {5, 12}, d, 2);
      head.scale = 1.0;
      std::fill(head.q.begin(), head.q.end(), 1.0);
      std::fill(head.sets[0].k.begin(), head.sets[0].k.end(), 1.0);
      std::fill(head.sets[0].v.begin(), head.sets[0].v.end(), 1.0);
      for (std::int64_t j = 0; j < 12; ++j) {
        // Scores from 0 down to -span, about. Only light tuples have a value in column 1.
        for (std::int64_t l = 0; l < d; ++l) {
          head.sets[1].k[static_cast<std::size_t>(j * d + l)] = -span / static_cast<double>(d) *
                                                                static_cast<double>(j) / 11.0 *
                                                                (1.0 + 1e-4 * std::cos(static_cast<double>(j + l)));
        }
        head.sets[1].v[static_cast<std::size_t>(2 * j)] = 1.0 + static_cast<double>(j);
        head.sets[1].v[static_cast<std::size_t>(2 * j + 1)] = j < 11 ? 0.0 : 1.5;
      }
      std::mt19937_64 random(seed++);
      for (const bool biased : {false, true}) {
        if (biased) head.sets[0].bias = normal(random, 5, 0.1);
        const Answer got = reference_tuples_of(head);
        judge_tuples<Quad>(head, got, clearance, "span " + std::to_string(span));
        EXPECT_EQ(got.relative[0] < 1e-9, span < 690.0) << span << ' ' << d << ' ' << got.relative[0];
        EXPECT_LT(std::fabs(got.output[1]), std::exp(-0.8 * span)) << "the column is to be small";
      }
    }
  }
  clearance.print("relative, far tuples");
  EXPECT_GT(clearance.relative, 1e-3);
}

TEST(ReferenceTuples, LargeProductsDoNotOverflow) {
  TupleHead head = random_tuples(12, 2, {10, 12}, 2, 1);
  const double root = 0x1.fp511;  // the square is next to the largest number
  for (TupleSetData& set : head.sets) {
    std::fill(set.v.begin(), set.v.end(), root);
  }
  const Answer answer = reference_tuples_of(head);
  for (const double t : answer.output) {
    EXPECT_EQ(t, root * root);
  }
  // Products beyond the range have an infinite bound.
  std::fill(head.sets[0].v.begin(), head.sets[0].v.end(), 0x1p700);
  std::fill(head.sets[1].v.begin(), head.sets[1].v.end(), 0x1p700);
  EXPECT_EQ(reference_tuples_of(head).rounding[0], kInfinity);
}

TEST(ReferenceTuples, RefusesWhatIsNotFiniteByName) {
  const TupleHead good = random_tuples(13, 3, {5, 6}, 3, 2);
  const auto message = [](const TupleHead& head) {
    try {
      reference_tuples_of(head);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::non_finite);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  TupleHead head = good;
  head.q[4] = kNan;
  EXPECT_NE(message(head).find("q: "), std::string::npos) << message(head);
  EXPECT_NE(message(head).find("row 1, column 1"), std::string::npos) << message(head);
  head = good;
  head.sets[1].k[7] = kInfinity;
  EXPECT_NE(message(head).find("keys[1]"), std::string::npos) << message(head);
  EXPECT_NE(message(head).find("row 2, column 1"), std::string::npos) << message(head);
  head = good;
  head.sets[0].v[9] = -kInfinity;
  EXPECT_NE(message(head).find("values[0]"), std::string::npos) << message(head);
  head = good;
  head.sets[1].bias.assign(6, 0.0);
  head.sets[1].bias[3] = kNan;
  EXPECT_NE(message(head).find("key_bias[1]"), std::string::npos) << message(head);
  EXPECT_NE(message(head).find("key 3"), std::string::npos) << message(head);
  head = good;
  for (double& q : head.q) {
    q *= 1e200;
  }
  for (double& k : head.sets[0].k) {
    k *= 1e200;
  }
  EXPECT_NE(message(head).find("row 0"), std::string::npos) << message(head);
}

TEST(ReferenceTuples, PropagatesWhatIsNotFinite) {
  TupleHead head = random_tuples(14, 4, {10, 6}, 3, 2);
  head.non_finite = NonFinite::propagate;
  head.sets[0].mask = {true, 6};
  head.sets[0].v[7 * 2 + 1] = kNan;  // seen by rows 1, 2, 3
  const Answer answer = reference_tuples_of(head);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(std::isnan(answer.output[2 * i + 1]), i >= 1);
    EXPECT_FALSE(std::isnan(answer.output[2 * i]));
    EXPECT_EQ(answer.rounding[i] == kInfinity, i >= 1);
  }
  head.q[0] = kInfinity;
  EXPECT_TRUE(std::isnan(reference_tuples_of(head).output[0]));
  head.sets[1].k[0] = kNan;
  EXPECT_TRUE(std::isnan(reference_tuples_of(head).lse[3]));
}

TEST(ReferenceTuples, SameBitsForAnyThreads) {
  const TupleHead head = random_tuples(15, 50, {20, 30}, 5, 3);
  const Answer one = reference_tuples_of(head, 1);
  const Answer five = reference_tuples_of(head, 5);
  EXPECT_EQ(one.output, five.output);
  EXPECT_EQ(one.rounding, five.rounding);
  EXPECT_EQ(one.lse, five.lse);
}

}  // namespace
}  // namespace polyattn::engines::test
