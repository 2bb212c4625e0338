#include "numerics/rank.hpp"

#include "polyattn/polynomial.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

using numerics::binomial;

constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

// Pascal's triangle with saturation.
TEST(Rank, BinomialsAreThoseOfPascal) {
  std::vector<std::int64_t> row{1};
  for (int n = 0; n <= 80; ++n) {
    for (int k = 0; k <= n; ++k) EXPECT_EQ(binomial(n, k), row[static_cast<std::size_t>(k)]) << n << " " << k;
    EXPECT_EQ(binomial(n, n + 1), 0);
    std::vector<std::int64_t> next(row.size() + 1, 1);
    for (std::size_t k = 1; k < row.size(); ++k) {
      const bool fits = row[k - 1] >= 0 && row[k] >= 0 && row[k - 1] <= kLargest - row[k];
      next[k] = fits ? row[k - 1] + row[k] : -1;
    }
    row = next;
  }
}

TEST(Rank, KnownValues) {
  EXPECT_EQ(feature_rank(8, 6), 3003);
  EXPECT_EQ(papers_rank(8, 6), 30421755);
  EXPECT_EQ(papers_rank(2, 2, 3), 924);  // C(12, 6)
  EXPECT_EQ(papers_rank(1, 1, 4), 70);
  EXPECT_EQ(feature_rank(64, 2), 2145);
  EXPECT_EQ(feature_rank(0, 9), 1);
  EXPECT_EQ(feature_rank(5, 0), 1);
  EXPECT_EQ(papers_rank(0, 3), 1);
  EXPECT_EQ(feature_rank(1, 400), 401);
}

TEST(Rank, OverflowIsReported) {
  EXPECT_EQ(feature_rank(kLargest - 1, 1), kLargest);
  EXPECT_EQ(feature_rank(kLargest, 1), -1);
  EXPECT_EQ(feature_rank(kLargest, 0), 1);
  EXPECT_EQ(feature_rank(64, 60), -1);
  EXPECT_EQ(feature_rank(std::int64_t{1} << 40, 2), -1);
  EXPECT_EQ(feature_rank(std::int64_t{1} << 31, 2),
            ((std::int64_t{1} << 31) + 2) * (((std::int64_t{1} << 31) + 1) / 2) + ((std::int64_t{1} << 31) + 2) / 2);
  EXPECT_EQ(papers_rank(64, 20), -1);
  EXPECT_EQ(papers_rank(8, 12, 4), -1);
  EXPECT_EQ(papers_rank(2, 2, 0), -1);
  EXPECT_EQ(papers_rank(kLargest, 1), -1);
  EXPECT_EQ(feature_rank(-1, 2), -1);
  EXPECT_EQ(feature_rank(2, -1), -1);
  EXPECT_EQ(papers_rank(-1, 2), -1);
  EXPECT_EQ(binomial(-1, 0), -1);
  EXPECT_EQ(binomial(5, -1), -1);
  EXPECT_EQ(binomial(66, 33), 7219428434016265740);
  EXPECT_EQ(binomial(68, 34), -1);
}

RC_GTEST_PROP(Rank, GradesAddUp, ()) {
  const auto dim = *rc::gen::inRange<std::int64_t>(1, 40);
  const auto degree = *rc::gen::inRange(1, 12);
  const std::int64_t whole = feature_rank(dim, degree);
  RC_PRE(whole >= 0);
  // Monomials of degree at most g: without the last variable, or that variable times one of degree at most g - 1.
  RC_ASSERT(whole == feature_rank(dim - 1, degree) + feature_rank(dim, degree - 1));
}

}  // namespace
}  // namespace polyattn::test
