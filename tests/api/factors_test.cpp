// Factors of the matrix of exponentials: every entry within the proved relative error of exp of the stated score.

#include "polyattn/factors.hpp"

#include "api/factors_support.hpp"
#include "polyattn/polynomial.hpp"

#include <gtest/gtest.h>
#include <cmath>
#include <cstdio>
#include <vector>

namespace polyattn::test {
namespace {

FactorOptions tolerance(double value, Score score = Dot{1.0}) {
  FactorOptions options;
  options.score = std::move(score);
  options.tolerance = value;
  return options;
}

TEST(Factors, EveryEntryIsWithinTheBound) {
  Random random(11);
  Clearance worst;
  for (int round = 0; round < 120; ++round) {
    PairProblem p{.n = random.integer(1, 8), .m = random.integer(1, 8), .d = random.integer(1, 4)};
    p.fill(random, random.log_uniform(1e-3, 1.2), random.log_uniform(1e-3, 1.2), random.chance(0.5) ? 3.0 : 0.0,
           random.chance(0.5) ? -2.0 : 0.0);
    FactorOptions options = tolerance(random.log_uniform(1e-9, 0.5));
    if (random.chance(0.3)) options.score = Dot{};
    if (random.chance(0.3)) options.score = Dot{-0.7};
    if (random.chance(0.3)) options.score = Gaussian{{1.5}};
    if (random.chance(0.3)) options.range = ScoreRange::scanned;
    if (random.chance(0.3)) options.range = ScoreRange::bounded;
    const Factors result = make(p, options);
    EXPECT_EQ(result.rank, feature_rank(result.axes, result.degree));
    EXPECT_EQ(result.papers_rank, papers_rank(p.d, result.degree));
    const Clearance found = judge(p, options, result);
    worst.product = std::max(worst.product, found.product);
    worst.dot_product = std::max(worst.dot_product, found.dot_product);
    worst.majorant = std::max(worst.majorant, found.majorant);
  }
  std::printf("worst clearance %.4f, with float64 products %.4f, majorant %.4f\n", worst.product, worst.dot_product,
              worst.majorant);
}

// Scores at the ends of the interval, where the bound on the polynomial is nearly attained.
TEST(Factors, BoundsAreTightAtTheEnds) {
  double worst = 0.0;
  for (const double radius : {1e-6, 0.1, 1.0, 2.0, 3.0, 5.0}) {
    for (const double allowed : {0.3, 1e-2, 1e-4, 1e-6}) {
      for (const std::int64_t d : {1, 2}) {
        PairProblem p{.n = 2 * d, .m = 2 * d, .d = d};
        p.q.assign(index(2 * d * d), 0.0);
        p.k = p.q;
        for (std::int64_t l = 0; l < d; ++l) {
          for (const std::int64_t side : {0, 1}) {
            p.q[index((2 * l + side) * d + l)] = side == 0 ? -1.0 : 1.0;
            p.k[index((2 * l + side) * d + l)] = side == 0 ? -radius : radius;
          }
        }
        const FactorOptions options = tolerance(allowed);
        worst = std::max(worst, judge(p, options, make(p, options)).product);
      }
    }
  }
  std::printf("worst clearance %.6f\n", worst);
  EXPECT_GT(worst, 0.99);
  EXPECT_LE(worst, 1.0);
}

// A search that climbs towards measured = proved.
TEST(Factors, BoundsHoldUnderAttack) {
  Random random(5);
  double worst = 0.0;
  for (int start = 0; start < 12; ++start) {
    PairProblem p{.n = 3, .m = 3, .d = random.integer(1, 3)};
    const double size = random.log_uniform(0.3, 3.0);
    p.fill(random, size, size);
    FactorOptions options = tolerance(random.log_uniform(1e-12, 0.3));
    if (start % 3 == 1) options.range = ScoreRange::scanned;
    if (start % 4 == 1) options.score = Gaussian{{2.0}};
    options.degree = static_cast<int>(random.integer(1, 24));
    options.tolerance.reset();
    double best = 0.0;
    for (int step = 0; step < 60; ++step) {
      PairProblem moved = p;
      std::vector<double>& side = random.chance(0.5) ? moved.q : moved.k;
      side[index(random.integer(0, static_cast<std::int64_t>(side.size()) - 1))] += 0.3 * size * random.normal();
      try {
        const Factors result = make(moved, options);
        if (!(result.bound() < 0.9)) continue;
        const double found = judge(moved, options, result).product;
        if (found > best) {
          best = found;
          p = moved;
        }
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::not_reachable);
      }
    }
    worst = std::max(worst, best);
  }
  std::printf("worst clearance %.4f\n", worst);
  EXPECT_LE(worst, 1.0);
}

TEST(Factors, RoundingDecidesWhereThePolynomialIsExact) {
  Random random(3);
  double worst = 0.0;
  for (const DType dtype : {DType::float64, DType::float32}) {
    for (const double size : {0.3, 0.8, 1.4}) {
      PairProblem p{.n = 6, .m = 6, .d = 2};
      p.fill(random, size, size);
      FactorOptions options;
      options.score = Dot{1.0};
      options.degree = 22;
      options.dtype = dtype;
      const Factors result = make(p, options);
      EXPECT_GT(result.heads.front().rounding, result.heads.front().approximation);
      worst = std::max(worst, judge(p, options, result).product);
    }
  }
  std::printf("worst clearance %.4f\n", worst);
  EXPECT_GT(worst, 1e-4);  // the factors are rounded at all
}

TEST(Factors, EqualQueriesNeedRankOne) {
  PairProblem p{.n = 3, .m = 4, .d = 3};
  Random random(1);
  p.fill(random, 1.0, 1.0);
  for (std::int64_t i = 0; i < 9; ++i) p.q[index(i)] = p.q[index(i % 3)];
  const FactorOptions options = tolerance(1e-12);
  const Factors result = make(p, options);
  EXPECT_EQ(result.degree, 0);
  EXPECT_EQ(result.rank, 1);
  EXPECT_EQ(result.heads.front().radius, 0.0);
  judge(p, options, result);
}

TEST(Factors, AxesWithoutVariationAddNoRank) {
  PairProblem p{.n = 5, .m = 5, .d = 4};
  Random random(2);
  p.fill(random, 1.0, 1.0);
  for (std::int64_t i = 0; i < 5; ++i) {
    p.q[index(4 * i)] = 7.0;
    p.k[index(4 * i + 2)] = -0.25;
  }
  const FactorOptions options = tolerance(1e-3);
  const Factors result = make(p, options);
  EXPECT_EQ(result.axes, 2);
  EXPECT_EQ(result.rank, feature_rank(2, result.degree));
  judge(p, options, result);
}

// Far from the origin the scores themselves are out of reach of any polynomial; centred they are not.
TEST(Factors, CentringIsUndoneExactly) {
  PairProblem p{.n = 12, .m = 9, .d = 2};
  Random random(4);
  p.fill(random, 0.5, 0.5, 8.0, -6.0);
  for (const Score& score : {Score(Dot{1.0}), Score(Gaussian{{1.0, 2.0}})}) {
    const FactorOptions options = tolerance(1e-6, score);
    const Factors result = make(p, options);
    EXPECT_GT(result.heads.front().radius_before, 40.0);
    EXPECT_LT(result.heads.front().radius, 6.0);
    judge(p, options, result);
  }
}

TEST(Factors, ScanningLowersTheRank) {
  PairProblem p{.n = 20, .m = 20, .d = 6};
  Random random(6);
  p.fill(random, 0.6, 0.6);
  FactorOptions options = tolerance(5e-2);
  options.range = ScoreRange::bounded;
  const Factors bounded = make(p, options);
  options.range = ScoreRange::scanned;
  const Factors scanned = make(p, options);
  EXPECT_FALSE(bounded.heads.front().scanned);
  EXPECT_TRUE(scanned.heads.front().scanned);
  EXPECT_LT(scanned.heads.front().radius, bounded.heads.front().radius);
  EXPECT_LT(scanned.rank, bounded.rank);
  judge(p, options, scanned);
  options.range = ScoreRange::automatic;
  EXPECT_EQ(make(p, options).rank, scanned.rank);
}

TEST(Factors, HeadsBatchesAndSharedKeys) {
  PairProblem p{.n = 5, .m = 6, .d = 2, .batch = 2, .heads = 4, .key_heads = 2};
  Random random(8);
  p.fill(random, 0.8, 0.8);
  for (std::int64_t i = 0; i < 5 * 2; ++i) p.q[index(i)] *= 3.0;  // heads differ in what they need
  for (const ScoreRange range : {ScoreRange::bounded, ScoreRange::scanned}) {
    FactorOptions options = tolerance(1e-4);
    options.range = range;
    const Factors result = make(p, options);
    judge(p, options, result);
    EXPECT_EQ(result.heads[3].head, 3);
    EXPECT_EQ(result.heads[4].batch, 1);
  }
}

TEST(Factors, LowestDegreeAndItsNeighbour) {
  PairProblem p{.n = 6, .m = 6, .d = 2};
  Random random(9);
  p.fill(random, 1.0, 1.0);
  FactorOptions options = tolerance(1e-3);
  const Factors result = make(p, options);
  ASSERT_GT(result.degree, 0);
  options.tolerance.reset();
  options.degree = result.degree - 1;
  const Factors lower = make(p, options);
  EXPECT_GT(lower.bound(), 1e-3);
  EXPECT_EQ(lower.degree, result.degree - 1);
  options.degree = result.degree;
  EXPECT_EQ(make(p, options).bound(), result.bound());
}

// What the factors are for: row sums and attention, with the error their bound gives.
TEST(Factors, GiveAttention) {
  PairProblem p{.n = 10, .m = 30, .d = 2};
  Random random(10);
  p.fill(random, 0.9, 0.9);
  const FactorOptions options = tolerance(1e-2);
  const Factors result = make(p, options);
  const double epsilon = result.bound() + result.heads.front().dot_product;
  for (std::int64_t i = 0; i < p.n; ++i) {
    long double sum = 0.0L;
    long double top = 0.0L;
    long double true_sum = 0.0L;
    long double true_top = 0.0L;
    for (std::int64_t j = 0; j < p.m; ++j) {
      const long double value = j % 3 == 0 ? 1.0L : 0.0L;  // values of range 1
      long double weight = 0.0L;
      for (std::int64_t f = 0; f < result.rank; ++f) {
        weight += static_cast<long double>(element(result.u[0], i * result.rank + f)) *
                  static_cast<long double>(element(result.u[1], j * result.rank + f));
      }
      const auto truth = static_cast<long double>(
          exp_of(stated_score(options.score, &p.q[index(i * p.d)], &p.k[index(j * p.d)], p.d)));
      sum += weight;
      top += weight * value;
      true_sum += truth;
      true_top += truth * value;
    }
    EXPECT_LE(std::fabs(static_cast<double>(sum / true_sum) - 1.0), epsilon);
    EXPECT_LE(std::fabs(static_cast<double>(top / sum - true_top / true_sum)),
              epsilon / (1.0 + std::sqrt(1.0 - epsilon * epsilon)));
  }
}

}  // namespace
}  // namespace polyattn::test
