// Masks and intervals in the exact engine: what rows do not see, and answers that must be exact.

#include "engines/exact_masks.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>

namespace polyattn::engines::test {
namespace {

using base::usize;

template <class T>
class ExactMasks : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactMasks, Arithmetics);

/// Rows alone, in a stream and packed.
constexpr std::array<std::int64_t, 3> kCompanies{2, 30, 200};

// What rows do not see.

/// A mask of small numbers, and the same with `garbage` wherever `hidden` says that the row does not look.
template <class T, class Hidden>
void expect_unseen(const Head& head, const Hidden& hidden, const std::string& what) {
  std::mt19937_64 random(5);
  for (const std::int64_t rows : kCompanies) {
    Head clean = first_rows(head, rows);
    clean.additive = normal(random, rows * head.n_kv);
    const Answer expected = answer<T>(clean);
    for (const double garbage : {kNan, kInfinity, 1e300}) {
      Head dirty = clean;
      for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < head.n_kv; ++j) {
          if (hidden(i, j)) {
            dirty.additive[usize(i * head.n_kv + j)] = garbage;
          }
        }
      }
      Answer got;
      ASSERT_NO_THROW(got = answer<T>(dirty)) << what << ", " << rows << " rows, " << garbage;
      ASSERT_EQ(got.output, expected.output) << what << ", " << rows << " rows, " << garbage;
      ASSERT_EQ(got.lse, expected.lse) << what << ", " << rows << " rows, " << garbage;
      ASSERT_EQ(got.rounding, expected.rounding) << what << ", " << rows << " rows, " << garbage;
    }
  }
}

TYPED_TEST(ExactMasks, WhatIsOutsideOfTheIntervalMayHoldAnything) {
  Head head = random_head(1, 200, 300, 3, 2);
  head.mask.causal = true;
  head.mask.offset = 20;
  expect_unseen<TypeParam>(
      head, [](auto i, auto j) { return j > i + 20; }, "causal");
  head.mask.window = 15;
  expect_unseen<TypeParam>(
      head, [](auto i, auto j) { return j > i + 20 || j <= i + 5; }, "window");
}

TYPED_TEST(ExactMasks, WhatIsExcludedMayHoldAnything) {
  Head head = random_head(2, 200, 300, 3, 2);
  head.mask.exclude_self = true;
  expect_unseen<TypeParam>(
      head, [](auto i, auto j) { return i == j; }, "exclude_self");
}

TYPED_TEST(ExactMasks, WhatABooleanMaskHidesMayHoldAnything) {
  Head head = random_head(3, 200, 300, 3, 2);
  head.boolean.assign(200 * 300, 1);
  for (std::size_t e = 0; e < head.boolean.size(); e += 7) {
    head.boolean[e] = 0;
  }
  expect_unseen<TypeParam>(
      head, [](auto i, auto j) { return (i * 300 + j) % 7 == 0; }, "boolean");
}

TYPED_TEST(ExactMasks, WhatAKeyBiasHidesMayHoldAnything) {
  Head head = random_head(4, 200, 300, 3, 2);
  head.bias.assign(300, 0.5);
  for (std::size_t j = 0; j < 300; j += 11) {
    head.bias[j] = -kInfinity;
  }
  expect_unseen<TypeParam>(
      head, [](auto, auto j) { return j % 11 == 0; }, "key bias");
}

TYPED_TEST(ExactMasks, WhatIsSeenAndNotFiniteIsNamed) {
  for (const std::int64_t rows : kCompanies) {
    for (const double bad : {kNan, kInfinity}) {
      Head head = random_head(5, rows, 300, 3, 2);
      head.additive.assign(usize(rows * 300), 0.0);
      head.additive[usize((rows - 1) * 300 + 140)] = bad;
      try {
        answer<TypeParam>(head);
        ADD_FAILURE() << "no error";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::non_finite);
        EXPECT_NE(std::string(error.what()).find("row " + std::to_string(rows - 1) + ", key 140"), std::string::npos)
            << error.what();
      }
    }
  }
}

// A finite number hides nothing, however low, and one that float32 cannot hold is no error: it has no bound there.
TYPED_TEST(ExactMasks, FiniteNumbersBeyondTheArithmetic) {
  for (const std::int64_t rows : kCompanies) {
    Head head = random_head(6, rows, 200, 3, 2);
    head.additive.assign(usize(rows * 200), -1e300);
    Answer got = answer<TypeParam>(head);
    for (std::size_t i = 0; i < usize(rows); ++i) {
      EXPECT_GT(got.lse[i], -kInfinity);
      EXPECT_LT(got.lse[i], -1e30);
      EXPECT_EQ(got.relative[i], kInfinity);
    }
    // Beside others: weights of 0, and no claim about them relative to their size.
    for (std::size_t e = 0; e < head.additive.size(); e += 2) {
      head.additive[e] = 0.0;
    }
    Clearance clearance;
    got = answer<TypeParam>(head);
    judge(head, got, clearance, "low numbers");
    EXPECT_EQ(got.relative[0], kInfinity);
    EXPECT_LT(got.rounding[0], 1e-4);
    if (sizeof(TypeParam) == sizeof(float)) {
      head.additive[0] = 1e300;
      ASSERT_NO_THROW(got = answer<TypeParam>(head)) << rows;
      EXPECT_EQ(got.rounding[0], kInfinity) << rows;
      EXPECT_LT(got.rounding[1], kInfinity) << rows;
    }
  }
}

// Where every operation is exact the answer is the quotient.

TYPED_TEST(ExactMasks, PowersOfTwoAreExact) {
  ASSERT_EQ(whole_scale() * simd::kLog2E, 1.0);
  std::mt19937_64 random(10);
  const auto integer = [&](std::int64_t low, std::int64_t high) {
    return static_cast<double>(low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1)));
  };
  for (const std::int64_t n : {1, 16, 129, 2049, 5000}) {
    for (const int kind : {0, 1, 2, 3, 4}) {
      Head head = random_head(11, 200, n, 2, 3);
      head.score.scale = whole_scale();
      for (std::int64_t i = 0; i < 200; ++i) {
        head.q[usize(2 * i)] = 1.0;
        head.q[usize(2 * i + 1)] = integer(-3, 0);
      }
      for (std::int64_t j = 0; j < n; ++j) {
        head.k[usize(2 * j)] = integer(-2, 0);
        head.k[usize(2 * j + 1)] = integer(0, 2);
      }
      for (double& v : head.v) {
        v = integer(-20, 20);
      }
      head.mask.causal = kind == 1;
      head.mask.window = kind == 2 ? 40 : 0;
      head.mask.offset = kind == 1 || kind == 2 ? n / 2 : 0;
      head.mask.exclude_self = kind == 3;
      if (kind == 4) {
        for (std::int64_t e = 0; e < 200 * n; ++e) {
          head.boolean.push_back(random() % 2 == 0 ? 1 : 0);
          head.additive.push_back(random() % 3 == 0 ? -kInfinity : 0.0);
        }
      }
      const Prepared prepared(head);
      for (const std::int64_t rows : kCompanies) {
        const Answer got = answer<TypeParam>(first_rows(head, rows), 2);
        for (std::int64_t i = 0; i < rows; i += std::max<std::int64_t>(1, rows / 20)) {
          std::array<double, 3> sums{};
          double weights = 0.0;
          const KeyRange range = head.mask.range(i, n);
          for (std::int64_t j = range.first; j < range.last; ++j) {
            const auto pair = usize(i * n + j);
            if ((kind == 3 && i == j) || (kind == 4 && (head.boolean[pair] == 0 || head.additive[pair] < 0.0))) {
              continue;
            }
            const double w = std::exp2(head.k[usize(2 * j)] + head.q[usize(2 * i + 1)] * head.k[usize(2 * j + 1)]);
            weights += w;
            for (std::size_t c = 0; c < 3; ++c) {
              sums[c] += w * head.v[usize(3 * j) + c];
            }
          }
          for (std::size_t c = 0; c < 3; ++c) {
            const double expected = weights == 0.0 ? 0.0 : sums[c] / weights + 0.0;
            ASSERT_EQ(got.output[usize(3 * i) + c], expected) << n << " keys, mask " << kind << ", row " << i;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace polyattn::engines::test
