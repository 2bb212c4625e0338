// Causal rows of the polynomial engine: prefixes by moments, the rest of a block exactly, judged by the definition.

#include "engines/polynomial/causal.hpp"

#include "engines/polynomial_support.hpp"
#include "simd/dispatch.hpp"
#include "support/forced_isa.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

namespace polyattn::test {
namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

HeadData causal_head(std::uint64_t seed, std::int64_t n_q, std::int64_t n_kv, std::int64_t offset,
                     double spread = 0.5) {
  HeadData head = random_head(seed, n_q, n_kv, 2, 2, spread);
  head.mask.causal = true;
  head.mask.offset = offset;
  return head;
}

/// Errors within their bounds; every row that sees a key is answered, the others are not touched.
template <class T, class Real>
void expect_right(const HeadData& head, int degree, double largest_bound = kInfinity) {
  const PolynomialRun run = run_head<T>(head, degree);
  const HeadTruth<Real> truth = truth_of<Real>(head);
  const Clearance worst = clearance_of<Real>(head, run, truth);
  ASSERT_LE(worst.answer, 1.0) << "row " << worst.worst_row;
  ASSERT_LE(worst.lse, 1.0);
  std::int64_t answered = 0;
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    const bool sees = truth.lse[usize(i)] != Real(-kInfinity);
    ASSERT_EQ(run.answered[usize(i)] != 0, sees) << "row " << i << " of " << head.n_q << ", keys " << head.n_kv;
    answered += sees ? 1 : 0;
    if (sees) {
      ASSERT_LE(run.bound(i), largest_bound) << "row " << i;
    } else {
      ASSERT_EQ(run.output[usize(i * head.value_dim)], 0.0) << "untouched";
      ASSERT_EQ(run.rounding[usize(i)], -1.0) << "untouched";
    }
  }
  EXPECT_EQ(run.summary.answered, answered);
}

std::int64_t block_of(const HeadData& head, int degree) {
  const auto moments = engines::make_features(head.dim, degree, head.value_dim).moments();
  return engines::causal_block(head.dim, head.value_dim, static_cast<double>(moments));
}

template <class T>
class CausalRows : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(CausalRows, Arithmetics);

constexpr std::int64_t kLengths[] = {1, 2, 15, 16, 17, 127, 128, 129, 255, 256, 257, 300, 384, 511, 512, 513, 700};

TYPED_TEST(CausalRows, EveryLengthAndAlignment) {
  for (const std::int64_t n_kv : kLengths) {
    const std::int64_t n_q = std::min<std::int64_t>(n_kv, 300);
    SCOPED_TRACE("keys " + std::to_string(n_kv));
    expect_right<TypeParam, long double>(causal_head(1, n_kv, n_kv, 0), 7, 1.0);          // square
    expect_right<TypeParam, long double>(causal_head(2, n_q, n_kv, n_kv - n_q), 7, 1.0);  // the last rows
    expect_right<TypeParam, long double>(causal_head(3, n_kv + 40, n_kv, -40), 7, 1.0);   // 40 rows see nothing
    expect_right<TypeParam, long double>(causal_head(4, n_kv + 5, n_kv, 0), 7, 1.0);      // the last rows see all
    if (this->HasFatalFailure()) {
      return;
    }
  }
}

TYPED_TEST(CausalRows, OffsetsBeyondBothEnds) {
  for (const std::int64_t offset : {-1000, -130, -129, -128, -127, -1, 1, 126, 127, 128, 255, 299, 300, 1000}) {
    SCOPED_TRACE("offset " + std::to_string(offset));
    expect_right<TypeParam, long double>(causal_head(5, 150, 300, offset), 3, 1.0);
  }
}

TYPED_TEST(CausalRows, BlocksWithoutAVisibleKey) {
  struct Span {
    std::int64_t first;
    std::int64_t last;
  };
  for (const Span& hidden : {Span{0, 1}, {0, 128}, {0, 130}, {128, 256}, {100, 300}, {256, 400}, {0, 399}, {0, 400}}) {
    SCOPED_TRACE("hidden " + std::to_string(hidden.first) + " to " + std::to_string(hidden.last));
    HeadData head = causal_head(6, 400, 400, 0);
    for (std::int64_t j = 0; j < 400; ++j) {
      const bool hide = j >= hidden.first && j < hidden.last;
      head.bias.push_back(hide ? -kInfinity : 0.01 * static_cast<double>(j % 13));
      if (hide) {
        head.k[usize(2 * j)] = std::numeric_limits<double>::quiet_NaN();
        head.v[usize(2 * j + 1)] = kInfinity;
      }
    }
    expect_right<TypeParam, long double>(head, 3, 1.0);
  }
}

// Slopes as ALiBi has them, and far steeper: with one global maximum the early rows of a rising bias would vanish.
TYPED_TEST(CausalRows, SlopesOfTheBiasDoNotLoseEarlyRows) {
  for (const double slope : {-5.0, -1.0, -0.5, -0.01, 0.01, 0.5, 1.0, 5.0}) {
    SCOPED_TRACE("slope " + std::to_string(slope));
    HeadData head = causal_head(7, 600, 600, 0, 0.3);
    for (std::int64_t j = 0; j < 600; ++j) {
      head.bias.push_back(slope * static_cast<double>(j));
    }
    expect_right<TypeParam, long double>(head, 4, 0.1);
  }
}

// Exponents that jump up and down from block to block, by more than the range of the type.
TYPED_TEST(CausalRows, WeightsOfAnySizeFromBlockToBlock) {
  Random random(8);
  for (int trial = 0; trial < 12; ++trial) {
    HeadData head = causal_head(random.bits(), 520, 520, 0, 0.3);
    double level = 0.0;
    for (std::int64_t j = 0; j < 520; ++j) {
      if (j % 64 == 0) {
        level = random.uniform(-1.0, 1.0) * (trial % 2 == 0 ? 60.0 : 2000.0);
      }
      head.bias.push_back(level + random.uniform(-2.0, 2.0));
    }
    SCOPED_TRACE("trial " + std::to_string(trial));
    expect_right<TypeParam, long double>(head, 4, 0.1);
  }
}

TYPED_TEST(CausalRows, GaussianScores) {
  for (const bool biased : {false, true}) {
    HeadData head = causal_head(9, 400, 400, 0, 1.0);
    head.score.kind = engines::ScoreKind::gaussian;
    head.score.bandwidth = {1.8, 2.5};
    for (std::int64_t j = 0; biased && j < 400; ++j) {
      head.bias.push_back(-0.05 * static_cast<double>(j % 100));
    }
    expect_right<TypeParam, long double>(head, 8, 1.0);
  }
}

TYPED_TEST(CausalRows, LongSequences) {
  constexpr std::int64_t kKeys = 8192 + 700;
  HeadData head = causal_head(10, 30, kKeys, kKeys - 30, 0.3);
  expect_right<TypeParam, long double>(head, 3, 0.1);
  head.mask.offset = 1020;  // rows whose prefixes end around a block
  expect_right<TypeParam, long double>(head, 3, 0.1);
}

// The block's own keys are exact: with nothing before them the polynomial errs by nothing.
TYPED_TEST(CausalRows, TheFirstBlockIsExact) {
  const HeadData head = causal_head(19, 600, 600, 0);
  const PolynomialRun run = run_head<TypeParam>(head, 1);
  const std::int64_t first = block_of(head, 1);
  ASSERT_LT(first, head.n_q);
  for (std::int64_t i = 0; i < first - 1; ++i) {  // the last one sees all of the block: moments have that
    ASSERT_EQ(run.approximation[usize(i)], 0.0) << i;
    ASSERT_LT(run.rounding[usize(i)], 1e-4) << i;
  }
  EXPECT_GT(run.approximation[usize(first - 1)], 0.0);
  EXPECT_LE((clearance_of<long double>(head, run, truth_of<long double>(head)).answer), 1.0);
}

// Sums of w s^2 |v| bound many columns better than their range does, and the exact part leaves that as it is.
TYPED_TEST(CausalRows, SpreadColumns) {
  HeadData head = random_head(20, 300, 300, 3, 12, 0.4);
  head.mask.causal = true;
  const PolynomialSetup plain = make_setup(head.problem(), 4);
  const PolynomialSetup spread = make_setup(head.problem(), 4, serial_context(), true);
  ASSERT_TRUE(spread.features.spread);
  const PolynomialRun without = run_polynomial<TypeParam>(head.problem(), plain);
  const PolynomialRun with = run_polynomial<TypeParam>(head.problem(), spread);
  const HeadTruth<long double> truth = truth_of<long double>(head);
  EXPECT_LE((clearance_of<long double>(head, with, truth).answer), 1.0);
  EXPECT_LE((clearance_of<long double>(head, with, truth).lse), 1.0);
  double sum_without = 0.0;
  double sum_with = 0.0;
  for (std::int64_t i = 0; i < 300; ++i) {
    ASSERT_TRUE(with.answered[usize(i)] != 0 && without.answered[usize(i)] != 0) << i;
    sum_without += without.approximation[usize(i)];
    sum_with += with.approximation[usize(i)];
  }
  EXPECT_LT(sum_with, 0.9 * sum_without);
}

// The longest blocks, where moments are many: every alignment of rows, key blocks of the kernel and blocks again.
TYPED_TEST(CausalRows, LongBlocks) {
  for (const std::int64_t n : {255, 256, 257, 500, 513}) {
    HeadData head = random_head(21, n, n, 9, 3, 0.2);
    head.mask.causal = true;
    ASSERT_GT(block_of(head, 5), engines::kCausalBlock);
    SCOPED_TRACE("keys " + std::to_string(n));
    expect_right<TypeParam, long double>(head, 5, 0.1);
    head.mask.offset = -45;
    expect_right<TypeParam, long double>(head, 5, 0.1);
  }
}

TEST(CausalBlock, IsAWholeNumberOfTheLeastAndGrowsWithTheMoments) {
  for (const std::int64_t dim : {1, 3, 8, 64}) {
    std::int64_t before = 0;
    for (double moments = 1.0; moments < 1e8; moments *= 3.0) {
      const std::int64_t block = engines::causal_block(dim, 64, moments);
      EXPECT_EQ(block % engines::kCausalBlock, 0);
      EXPECT_LE(block, simd::kMomentBlock);
      EXPECT_GE(block, before);
      before = block;
    }
    EXPECT_EQ(before, simd::kMomentBlock);
    EXPECT_EQ(engines::causal_block(dim, 64, 1.0), engines::kCausalBlock);
  }
}

TYPED_TEST(CausalRows, ErrorsStayBelowTheCertificate) {
  expect_certified<TypeParam>({.seed = 11, .starts = 250, .causal = true});
}

TYPED_TEST(CausalRows, ErrorsStayBelowTheCertificateUnderSearch) {
  expect_certified<TypeParam>({.seed = 12, .starts = 6, .steps = 40, .causal = true});
}

// A block whose values are all one number, far from the centre: its exact average must not drift from that number.
TYPED_TEST(CausalRows, ABlockOfConstantValues) {
  HeadData head = causal_head(13, 300, 300, 0, 0.7);
  Random random(14);
  for (std::int64_t j = 0; j < 300; ++j) {
    head.bias.push_back(random.uniform(-20.0, 20.0));
    for (std::int64_t c = 0; c < 2; ++c) {
      head.v[usize(2 * j + c)] = j < 128 ? 5.3 : -5.1;
    }
  }
  expect_right<TypeParam, long double>(head, 12);
}

TYPED_TEST(CausalRows, LargeValuesAreCertifiedOrRefused) {
  for (const double size : {1e18, 1e25, 1e37, 3e38, 1e100, 1e160, 1e306}) {
    HeadData head = causal_head(15, 300, 300, 0);
    for (double& v : head.v) {
      v = size * std::clamp(v, -1.0, 1.0);
    }
    const PolynomialRun run = run_head<TypeParam>(head, 3);
    EXPECT_LE((clearance_of<Quad>(head, run, truth_of<Quad>(head)).answer), 1.0) << size;
  }
}

TYPED_TEST(CausalRows, RowsOutsideTheFrameAreLeftAlone) {
  HeadData head = causal_head(16, 300, 300, 0);
  const PolynomialSetup setup = make_setup(head.problem(), 3);
  for (const std::int64_t i : {0, 100, 170, 299}) {
    head.q[usize(2 * i)] = 1e6;
  }
  const PolynomialRun run = run_polynomial<TypeParam>(head.problem(), setup);
  for (std::int64_t i = 0; i < 300; ++i) {
    EXPECT_EQ(run.answered[usize(i)] != 0, i != 0 && i != 100 && i != 170 && i != 299) << i;
  }
  EXPECT_LE((clearance_of<Quad>(head, run, truth_of<Quad>(head)).answer), 1.0);
}

TYPED_TEST(CausalRows, BitsDependOnNothingButTheRow) {
  HeadData head = causal_head(17, 700, 700, 0);
  for (std::int64_t j = 0; j < 700; ++j) {
    head.bias.push_back(0.3 * static_cast<double>(j));
  }
  const PolynomialRun expected = run_head<TypeParam>(head, 3);
  for (const simd::KernelTable* table : simd::available()) {
    const ForcedIsa forced(table->name);
    for (const int threads : {1, 2, 5}) {
      base::MemoryMeter memory;
      const PolynomialRun run = run_head<TypeParam>(head, 3, {threads, &memory, nullptr});
      EXPECT_EQ(run.output, expected.output) << table->name << ", " << threads << " threads";
      EXPECT_EQ(run.approximation, expected.approximation) << table->name;
      EXPECT_EQ(run.rounding, expected.rounding) << table->name;
      EXPECT_EQ(run.lse, expected.lse) << table->name;
    }
  }
}

// Pairs in float32 beside moments in float64: where the tolerance leaves room for them.
TEST(CausalPairs, AreInFloat32WhereTheToleranceLeavesRoom) {
  HeadData head = causal_head(21, 700, 700, 0, 0.7);
  for (std::int64_t j = 0; j < 700; ++j) {
    head.bias.push_back(0.02 * static_cast<double>(j));
  }
  const engines::HeadProblem problem = head.problem();
  const PolynomialSetup setup = make_setup(problem, 9);
  const double range = setup.values.range();
  EXPECT_TRUE(engines::pairs_in_float32(setup.frame, setup.values, 1e-2 * range));
  EXPECT_FALSE(engines::pairs_in_float32(setup.frame, setup.values, 1e-7 * range));
  EXPECT_FALSE(engines::pairs_in_float32(setup.frame, setup.values, kInfinity)) << "nobody said what is allowed";
  engines::Acceptance acceptance;
  acceptance.tolerance = 1e-2 * range;
  const PolynomialRun wide = run_polynomial<double>(problem, setup, true, acceptance);
  const PolynomialRun narrow = run_polynomial<double>(problem, setup, false, acceptance);
  EXPECT_LE((clearance_of<long double>(head, narrow, truth_of<long double>(head)).answer), 1.0);
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    ASSERT_TRUE(wide.answered[usize(i)] != 0 && narrow.answered[usize(i)] != 0) << i;
    ASSERT_LT(wide.rounding[usize(i)], 1e-9 * range) << i;
    ASSERT_GT(narrow.rounding[usize(i)], wide.rounding[usize(i)]) << i;
    ASSERT_LE(narrow.rounding[usize(i)], 0.25 * acceptance.tolerance) << i;
  }
  for (const simd::KernelTable* table : simd::available()) {
    const ForcedIsa forced(table->name);
    base::MemoryMeter memory;
    const PolynomialRun run = run_polynomial<double>(problem, setup, false, acceptance, {3, &memory, nullptr});
    EXPECT_EQ(run.output, narrow.output) << table->name;
    EXPECT_EQ(run.rounding, narrow.rounding) << table->name;
  }
}

TEST(CausalPairs, AreNotInFloat32WhereValuesDoNotFit) {
  for (const double size : {1e35, 1e306}) {
    HeadData head = causal_head(22, 200, 200, 0);
    for (double& v : head.v) {
      v = size * std::clamp(v, -1.0, 1.0);
    }
    const PolynomialSetup setup = make_setup(head.problem(), 3);
    EXPECT_FALSE(engines::pairs_in_float32(setup.frame, setup.values, 1e-2 * setup.values.range())) << size;
  }
}

TEST(CausalPairs, AreCounted) {
  for (const std::int64_t offset : {-500, -41, -40, -39, -1, 0, 1, 7, 59, 60, 61, 500}) {
    for (const std::int64_t keys : {1, 2, 60, 100}) {
      const HeadData head = causal_head(23, 40, keys, offset);
      double pairs = 0.0;
      for (std::int64_t i = 0; i < head.n_q; ++i) {
        pairs += static_cast<double>(head.mask.visible(i, keys));
      }
      EXPECT_EQ(engines::visible_pairs(head.problem(), engines::RowList{}), pairs) << offset << ", " << keys;
    }
  }
}

// Keys beyond a row's prefix do not touch its bits, as long as the frame is the same.
TYPED_TEST(CausalRows, LaterKeysDoNotMatter) {
  HeadData head = causal_head(18, 300, 300, 0);
  const PolynomialSetup setup = make_setup(head.problem(), 3);
  const PolynomialRun expected = run_polynomial<TypeParam>(head.problem(), setup);
  for (std::int64_t j = 200; j < 250; ++j) {  // swapped, so that the values' ranges stay
    for (std::int64_t c = 0; c < 2; ++c) {
      std::swap(head.k[usize(2 * j + c)], head.k[usize(2 * (499 - j) + c)]);
      std::swap(head.v[usize(2 * j + c)], head.v[usize(2 * (499 - j) + c)]);
    }
  }
  const PolynomialRun run = run_polynomial<TypeParam>(head.problem(), setup);
  for (std::int64_t i = 0; i < 200 * 2; ++i) {
    ASSERT_EQ(run.output[usize(i)], expected.output[usize(i)]) << "row " << i / 2;
  }
  EXPECT_NE(run.output[usize(2 * 210)], expected.output[usize(2 * 210)]) << "which sees other keys";
}

}  // namespace
}  // namespace polyattn::test
