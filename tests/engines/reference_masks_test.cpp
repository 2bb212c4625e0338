// Masks and soft-capping in the specification, where their rounding matters: large and cancelling offsets, caps far
// from the scores, keys that are not finite but not seen.

#include "engines/heads.hpp"
#include "polyattn/error.hpp"

namespace polyattn::engines::test {
namespace {

/// Every mask at once.
Head masked_head(std::uint64_t seed, std::int64_t n_q, std::int64_t n_kv, std::int64_t d, double spread) {
  Head head = random_head(seed, n_q, n_kv, d, 3, spread);
  std::mt19937_64 random(seed + 1000);
  std::bernoulli_distribution hidden(0.3);
  head.bias = normal(random, n_kv, spread);
  head.additive = normal(random, n_q * n_kv, spread);
  for (double& a : head.additive) {
    a = hidden(random) ? -kInfinity : a;
  }
  for (std::int64_t p = 0; p < n_q * n_kv; ++p) {
    head.boolean.push_back(hidden(random) ? 0 : 1);
  }
  head.mask = {.causal = true, .offset = n_kv - n_q, .window = n_kv / 2 + 1, .exclude_self = true};
  return head;
}

TEST(ReferenceMasks, BoundsHoldAgainstLongDouble) {
  Clearance clearance;
  const auto check = [&](const Head& head, const char* what, int threads = 1) {
    const Answer answer = reference(head, threads);
    judge(head, answer, clearance, what);
    for (const double bound : answer.rounding) {
      EXPECT_TRUE(std::isfinite(bound)) << what;
    }
  };
  std::uint64_t seed = 1;
  for (const std::int64_t n : {1, 2, 7, 40, 333}) {
    for (const std::int64_t d : {1, 5, 40}) {
      for (const double spread : {0.01, 1.0, 10.0}) {
        Head head = masked_head(seed++, 9, n, d, spread);
        check(head, "dot");
        check(gaussian(head, {0.5, 2.0}), "gaussian");
        for (const double cap : {1e-300, 1e-3, 0.5, 20.0, 1e6, 1e300}) {
          head.soft_cap = cap;
          check(head, "capped");
          check(gaussian(head, {0.3}), "capped gaussian");
        }
        head.output = DType::float32;
        head.gaps = true;
        check(head, "to float32", 3);
      }
    }
  }
  clearance.print("reference, masks");
}

/// -1e30, or the least finite number, where -infinity was meant: bounds are those of the keys that matter.
TEST(ReferenceMasks, LargeNegativeNumbersCostNothing) {
  Clearance clearance;
  for (const double least : {-1e9, -1e30, -3.4e38, std::numeric_limits<double>::lowest()}) {
    Head head = random_head(3, 6, 50, 4, 2);
    head.additive.assign(300, 0.0);
    for (std::size_t p = 0; p < 300; p += 3) {
      head.additive[p] = least;
    }
    const Answer answer = reference(head);
    judge(head, answer, clearance, "additive");
    Head hidden = head;
    for (double& a : hidden.additive) {
      a = a == least ? -kInfinity : a;
    }
    const Answer expected = reference(hidden);
    EXPECT_EQ(answer.output, expected.output);
    for (std::size_t i = 0; i < 6; ++i) {
      // Far keys are charged 4 2^-90; the offsets that count are at most 63 + log n + 1 and the scores.
      EXPECT_LE(answer.rounding[i], expected.rounding[i] + 4 * 0x1p-53 * 80 * 10 + 0x1p-80);
      EXPECT_LE(answer.lse_bound[i], expected.lse_bound[i] + 4 * 0x1p-53 * 80 + 0x1p-80);
    }
  }
}

/// A row that sees such keys only is an average over them all the same.
TEST(ReferenceMasks, LargeNegativeNumbersEverywhere) {
  Clearance clearance;
  Head head = random_head(4, 3, 20, 2, 2);
  head.additive.assign(60, -1e6);
  judge(head, reference(head), clearance, "all far down");
  EXPECT_EQ(clearance.known, 3);
  EXPECT_LE(reference(head).lse_bound[0], 1e-8);  // 2^-53 of 1e6, a few times
}

TEST(ReferenceMasks, OffsetsThatCancel) {
  Clearance clearance;
  for (const double size : {1e3, 1e8, 1e15, 1e18}) {
    Head head = random_head(5, 4, 30, 3, 2);
    std::mt19937_64 random(6);
    head.bias = normal(random, 30, 1.0, size);
    head.additive = normal(random, 120, 1.0, -size);
    judge(head, reference(head), clearance, "bias against additive");
    for (double& b : head.bias) {
      b -= 2 * size;
    }
    for (double& a : head.additive) {
      a += 2 * size;
    }
    judge(head, reference(head), clearance, "additive against bias");
  }
  clearance.print("reference, cancelling");
  EXPECT_GT(clearance.known, 0);
}

TEST(ReferenceMasks, WhatIsHiddenIsNotThere) {
  Head head = masked_head(7, 8, 30, 3, 1.0);
  head.soft_cap = 4.0;
  head.non_finite = NonFinite::propagate;
  // Rows 0 to 7 see keys from 22 - 16 + 1 on.
  for (const std::int64_t j : {0, 3, 6}) {
    std::fill_n(head.k.begin() + 3 * j, 3, kNan);
    std::fill_n(head.v.begin() + 3 * j, 3, kInfinity);
    for (std::int64_t i = 0; i < 8; ++i) {
      head.additive[static_cast<std::size_t>(i * 30 + j)] = kNan;
    }
  }
  // And one key only row 7 sees.
  std::fill_n(head.k.begin() + 3 * 20, 3, kInfinity);
  std::fill_n(head.v.begin() + 3 * 20, 3, kNan);
  for (std::size_t i = 0; i < 8; ++i) {
    head.boolean[i * 30 + 20] = i == 7 ? 1 : 0;
  }
  head.additive[7 * 30 + 20] = 0.0;
  const Answer answer = reference(head);
  Clearance clearance;
  Head finite = head;
  finite.n_q = 7;
  judge(finite, reference(finite), clearance, "rows that do not see it");
  EXPECT_EQ(clearance.known, 7);
  for (std::size_t c = 0; c < 3; ++c) {
    EXPECT_TRUE(std::isnan(answer.output[7 * 3 + c]));
  }
}

TEST(ReferenceMasks, AdditiveThatIsNoNumberIsNamed) {
  for (const double bad : {kNan, kInfinity}) {
    Head head = random_head(8, 3, 5, 2, 1);
    head.additive.assign(15, 0.0);
    head.additive[5 + 3] = bad;
    try {
      reference(head, 2);
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::non_finite);
      EXPECT_NE(std::string(error.what()).find("additive"), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("row 1, key 3"), std::string::npos) << error.what();
    }
    head.mask.causal = true;  // key 3 is not seen by row 1
    EXPECT_NO_THROW(reference(head));
  }
}

/// Of finite inputs; an infinite key that is to propagate is capped like any large score.
TEST(ReferenceMasks, ScoresBeyondFloat64AreAnErrorUnderACapToo) {
  Head head;
  head.n_kv = 2;
  head.q = {1e200};
  head.k = {1e200, 1.0};
  head.v = {1.0, 2.0};
  head.soft_cap = 1.0;
  EXPECT_THROW(reference(head), Error);
  head.k[0] = kInfinity;
  head.non_finite = NonFinite::propagate;
  EXPECT_EQ(reference(head).output[0], 1.5);  // both scores are the cap
}

}  // namespace
}  // namespace polyattn::engines::test
