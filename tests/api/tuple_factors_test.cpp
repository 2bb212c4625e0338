// Factors of order 3 and above: every entry, over all tuples, within the proved relative error of exp of the score.

#include "api/factors_support.hpp"
#include "polyattn/factors.hpp"
#include "polyattn/polynomial.hpp"
#include "support/expect_error.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

/// Queries [batch, heads, n, d] and key sets [batch, heads_s, n_s, d].
struct TupleCase {
  std::int64_t n = 1;
  std::int64_t d = 1;
  std::int64_t batch = 1;
  std::int64_t heads = 1;
  double scale = 1.0;
  std::vector<std::int64_t> lengths{};
  std::vector<std::int64_t> set_heads{};  ///< empty: `heads`
  std::vector<double> q{};
  std::vector<std::vector<double>> keys{};

  [[nodiscard]] std::int64_t heads_of(std::size_t set) const { return set_heads.empty() ? heads : set_heads[set]; }
  void fill(Random& random, double q_size, double key_size) {
    q.resize(index(batch * heads * n * d));
    for (double& value : q) value = q_size * random.normal();
    keys.clear();
    for (std::size_t s = 0; s < lengths.size(); ++s) {
      keys.emplace_back(index(batch * heads_of(s) * lengths[s] * d));
      for (double& value : keys.back()) value = key_size * random.normal();
    }
  }
  [[nodiscard]] ConstView q_view() const { return tensor(q.data(), {batch, heads, n, d}); }
  [[nodiscard]] std::vector<ConstView> key_views() const {
    std::vector<ConstView> views;
    for (std::size_t s = 0; s < keys.size(); ++s) {
      views.push_back(tensor(keys[s].data(), {batch, heads_of(s), lengths[s], d}));
    }
    return views;
  }
};

Factors make(const TupleCase& p, FactorOptions options) {
  options.score = Dot{p.scale};
  return factors(p.q_view(), p.key_views(), options);
}

FactorOptions tolerance(double value) {
  FactorOptions options;
  options.tolerance = value;
  return options;
}

/// One entry: its members' rows in the factors, and the exponential it stands for.
struct Entry {
  Quad product = 0;
  Quad majorant = 0;
  double computed = 0.0;
  Quad score = 0;
};

Entry entry_of(const TupleCase& p, const Factors& result, std::int64_t batch, std::int64_t head,
               const std::vector<std::int64_t>& tuple) {
  std::vector<std::int64_t> rows{(batch * p.heads + head) * p.n + tuple[0]};
  for (std::size_t s = 0; s < p.keys.size(); ++s) {
    rows.push_back((batch * p.heads_of(s) + head / (p.heads / p.heads_of(s))) * p.lengths[s] + tuple[s + 1]);
  }
  Entry entry;
  for (std::int64_t f = 0; f < result.rank; ++f) {
    Quad term = 1;
    double rounded = 1.0;
    for (std::size_t side = 0; side < rows.size(); ++side) {
      const double number = element(result.u[side], rows[side] * result.rank + f);
      term *= static_cast<Quad>(number);
      rounded *= number;
    }
    entry.product += term;
    entry.majorant += term < 0 ? -term : term;
    entry.computed += rounded;
  }
  for (std::int64_t l = 0; l < p.d; ++l) {
    Quad term = static_cast<Quad>(p.q[index(rows[0] * p.d + l)]);
    for (std::size_t s = 0; s < p.keys.size(); ++s) term *= static_cast<Quad>(p.keys[s][index(rows[s + 1] * p.d + l)]);
    entry.score += term;
  }
  entry.score *= static_cast<Quad>(p.scale);
  return entry;
}

bool advance(std::vector<std::int64_t>& tuple, const TupleCase& p) {
  for (std::size_t side = 0; side < tuple.size(); ++side) {
    if (++tuple[side] < (side == 0 ? p.n : p.lengths[side - 1])) return true;
    tuple[side] = 0;
  }
  return false;
}

/// Largest relative error over its bound; everything the report claims is checked on the way.
Clearance judge(const TupleCase& p, const FactorOptions& options, const Factors& result) {
  Clearance worst;
  EXPECT_EQ(result.u.size(), p.keys.size() + 1);
  EXPECT_EQ(result.u[0].shape(), (Shape{p.batch, p.heads, p.n, result.rank}));
  for (std::size_t s = 0; s < p.keys.size(); ++s) {
    EXPECT_EQ(result.u[s + 1].shape(), (Shape{p.batch, p.heads_of(s), p.lengths[s], result.rank}));
  }
  EXPECT_EQ(result.heads.size(), index(p.batch * p.heads));
  for (const FactorHead& head : result.heads) {
    EXPECT_LE(head.bound(), options.tolerance.value_or(1.0));
    std::vector<std::int64_t> tuple(p.keys.size() + 1, 0);
    do {
      const Entry entry = entry_of(p, result, head.batch, head.head, tuple);
      const Quad inverse = exp_of(-entry.score);
      const auto size = static_cast<double>(entry.majorant * inverse);
      const double slack = kUnitRoundoff<Quad> * (4.0 * static_cast<double>(result.rank + 8) * size +
                                                  64.0 * static_cast<double>(p.d) * (1.0 + head.radius_before));
      const double relative = std::fabs(static_cast<double>(entry.product * inverse - 1));
      const double rounded = std::fabs(static_cast<double>(static_cast<Quad>(entry.computed) * inverse - 1));
      EXPECT_LE(relative, head.bound() + slack) << ::testing::PrintToString(tuple);
      EXPECT_LE(rounded, head.bound() + head.dot_product + slack) << ::testing::PrintToString(tuple);
      EXPECT_LE(size, head.majorant * (1.0 + 1e-15) + slack) << ::testing::PrintToString(tuple);
      EXPECT_GT(entry.product, 0) << ::testing::PrintToString(tuple);
      EXPECT_LE(std::fabs(static_cast<double>(entry.score)), head.radius_before * (1.0 + 1e-15));
      EXPECT_GE(static_cast<double>(entry.score), head.low - 1e-13 * head.radius);
      EXPECT_LE(static_cast<double>(entry.score), head.high + 1e-13 * head.radius);
      worst.product = std::max(worst.product, (relative - slack) / head.bound());
      worst.dot_product = std::max(worst.dot_product, (rounded - slack) / (head.bound() + head.dot_product));
      worst.majorant = std::max(worst.majorant, size / head.majorant);
    } while (advance(tuple, p));
  }
  return worst;
}

void join(Clearance& all, const Clearance& one) {
  all.product = std::max(all.product, one.product);
  all.dot_product = std::max(all.dot_product, one.dot_product);
  all.majorant = std::max(all.majorant, one.majorant);
}

TEST(TupleFactors, EveryEntryIsWithinTheBound) {
  Random random(31);
  Clearance worst;
  for (int round = 0; round < 150; ++round) {
    TupleCase p{.n = random.integer(1, 5), .d = random.integer(1, 4)};
    const std::int64_t sets = random.integer(2, 4);
    for (std::int64_t s = 0; s < sets; ++s) p.lengths.push_back(random.integer(1, 4));
    p.scale = random.chance(0.5) ? 1.0 / static_cast<double>(p.d) : -random.log_uniform(1e-2, 1.5);
    p.fill(random, random.log_uniform(1e-3, 1.2), random.log_uniform(1e-1, 1.1));
    FactorOptions options = tolerance(random.log_uniform(1e-9, 0.5));
    if (random.chance(0.3)) options.range = ScoreRange::scanned;
    if (random.chance(0.3)) options.range = ScoreRange::bounded;
    try {
      const Factors result = make(p, options);
      EXPECT_EQ(result.rank, feature_rank(result.axes, result.degree));
      EXPECT_EQ(result.papers_rank, papers_rank(p.d, result.degree, static_cast<int>(sets) + 1));
      join(worst, judge(p, options, result));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::not_reachable) << error.what();
    }
  }
  std::printf("worst clearance %.4f, with float64 products %.4f, majorant %.4f\n", worst.product, worst.dot_product,
              worst.majorant);
  EXPECT_GT(worst.product, 0.1);
}

// Scores at the ends of the interval, where the bound on the polynomial is nearly attained.
TEST(TupleFactors, BoundsAreTightAtTheEnds) {
  double worst = 0.0;
  for (const double radius : {1e-6, 0.1, 1.0, 2.0, 5.0}) {
    for (const double allowed : {0.3, 1e-2, 1e-4, 1e-6}) {
      TupleCase p{.n = 2, .d = 1, .lengths = {2, 3}};
      p.q = {-1.0, 1.0};
      p.keys = {{0.5, -0.25}, {2.0 * radius, -radius, 0.1 * radius}};
      for (const ScoreRange range : {ScoreRange::bounded, ScoreRange::scanned}) {
        FactorOptions options = tolerance(allowed);
        options.range = range;
        worst = std::max(worst, judge(p, options, make(p, options)).product);
      }
    }
  }
  std::printf("worst clearance %.6f\n", worst);
  EXPECT_GT(worst, 0.99);
  EXPECT_LE(worst, 1.0);
}

// A search that climbs towards measured = proved.
TEST(TupleFactors, BoundsHoldUnderAttack) {
  Random random(32);
  double worst = 0.0;
  for (int start = 0; start < 10; ++start) {
    TupleCase p{.n = 2, .d = random.integer(1, 3), .lengths = {2, 2}};
    if (start % 3 == 0) p.lengths.push_back(2);
    const double size = random.log_uniform(0.4, 1.6);
    p.fill(random, size, size);
    FactorOptions options;
    if (start % 2 == 1) options.range = ScoreRange::scanned;
    if (start % 5 == 1) options.dtype = DType::float32;
    options.degree = static_cast<int>(random.integer(1, 20));
    double best = 0.0;
    for (int step = 0; step < 60; ++step) {
      TupleCase moved = p;
      std::vector<double>& side =
          random.chance(0.3) ? moved.q
                             : moved.keys[index(random.integer(0, static_cast<std::int64_t>(p.keys.size()) - 1))];
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
  EXPECT_GT(worst, 0.1);
  EXPECT_LE(worst, 1.0);
}

TEST(TupleFactors, RoundingDecidesWhereThePolynomialIsExact) {
  Random random(33);
  double worst = 0.0;
  for (const DType dtype : {DType::float64, DType::float32}) {
    for (const double size : {0.5, 1.0, 1.3}) {
      TupleCase p{.n = 4, .d = 2, .lengths = {3, 4}};
      p.fill(random, size, size);
      FactorOptions options;
      options.degree = 24;
      options.dtype = dtype;
      const Factors result = make(p, options);
      EXPECT_GT(result.heads.front().rounding, result.heads.front().approximation);
      worst = std::max(worst, judge(p, options, result).product);
    }
  }
  std::printf("worst clearance %.4f\n", worst);
  EXPECT_GT(worst, 1e-4);  // the factors are rounded at all
}

// Where scores are at the lower end and terms cancel, the roundings of float32 show: one for each side.
TEST(TupleFactors, EverySideIsRounded) {
  Random random(42);
  double worst = 0.0;
  for (const double radius : {0.5, 1.0, 2.0}) {
    TupleCase p{.n = 24, .d = 1, .scale = -radius, .lengths = {24, 24}};
    p.fill(random, 1.0, 1.0);
    for (double& value : p.q) value = random.uniform(0.97, 1.0);
    for (std::vector<double>& set : p.keys) {
      for (double& value : set) value = random.uniform(0.97, 1.0);
    }
    FactorOptions options;
    options.degree = 20;
    options.dtype = DType::float32;
    options.range = ScoreRange::bounded;
    const Factors result = make(p, options);
    EXPECT_GE(result.heads.front().rounding, 3.0 * 0x1p-24);
    worst = std::max(worst, judge(p, options, result).product);
  }
  std::printf("worst clearance %.4f\n", worst);
  EXPECT_GT(worst, 0.1);  // roundings of three sides that do not conspire
}

// A second key set of ones: order 2, which is not centred then.
TEST(TupleFactors, OfOrderThreeWithOnesAreThoseOfOrderTwo) {
  Random random(34);
  TupleCase p{.n = 6, .d = 3, .lengths = {5, 1}};
  p.fill(random, 0.5, 0.5);
  p.keys[1] = {1.0, 1.0, 1.0};
  const FactorOptions options = tolerance(1e-5);
  const Factors three = make(p, options);
  judge(p, options, three);
  const std::vector<ConstView> first{p.key_views()[0]};
  FactorOptions pair_options = options;
  pair_options.score = Dot{1.0};
  const Factors two = factors(p.q_view(), first, pair_options);
  for (std::int64_t i = 0; i < p.n; ++i) {
    for (std::int64_t j = 0; j < 5; ++j) {
      double one = 0.0;
      double other = 0.0;
      for (std::int64_t f = 0; f < three.rank; ++f) {
        one +=
            element(three.u[0], i * three.rank + f) * element(three.u[1], j * three.rank + f) * element(three.u[2], f);
      }
      for (std::int64_t f = 0; f < two.rank; ++f) {
        other += element(two.u[0], i * two.rank + f) * element(two.u[1], j * two.rank + f);
      }
      EXPECT_NEAR(one / other, 1.0, 2.1e-5);
    }
  }
}

// Attention of order 3 from the factors: U_1 ((U_2^T V_1) o (U_3^T V_2)), within what the bound gives.
TEST(TupleFactors, GiveAttention) {
  Random random(35);
  TupleCase p{.n = 5, .d = 3, .lengths = {7, 6}};
  p.fill(random, 0.8, 0.8);
  const FactorOptions options = tolerance(1e-2);
  const Factors result = make(p, options);
  const double epsilon = result.bound() + result.heads.front().dot_product;
  const auto value = [](std::size_t set, std::int64_t j) {
    return (j + static_cast<std::int64_t>(set)) % 3 == 0 ? 1.0 : 0.0;
  };
  std::vector<double> sums(index(result.rank), 1.0);
  std::vector<double> weighted(index(result.rank), 1.0);
  for (std::int64_t f = 0; f < result.rank; ++f) {
    for (std::size_t s = 0; s < 2; ++s) {
      double sum = 0.0;
      double top = 0.0;
      for (std::int64_t j = 0; j < p.lengths[s]; ++j) {
        sum += element(result.u[s + 1], j * result.rank + f);
        top += element(result.u[s + 1], j * result.rank + f) * value(s, j);
      }
      sums[index(f)] *= sum;
      weighted[index(f)] *= top;
    }
  }
  for (std::int64_t i = 0; i < p.n; ++i) {
    double denominator = 0.0;
    double numerator = 0.0;
    for (std::int64_t f = 0; f < result.rank; ++f) {
      denominator += element(result.u[0], i * result.rank + f) * sums[index(f)];
      numerator += element(result.u[0], i * result.rank + f) * weighted[index(f)];
    }
    Quad true_sum = 0;
    Quad true_top = 0;
    for (std::int64_t j1 = 0; j1 < p.lengths[0]; ++j1) {
      for (std::int64_t j2 = 0; j2 < p.lengths[1]; ++j2) {
        const Quad weight = exp_of(entry_of(p, result, 0, 0, {i, j1, j2}).score);
        true_sum += weight;
        true_top += weight * static_cast<Quad>(value(0, j1) * value(1, j2));
      }
    }
    EXPECT_LE(std::fabs(denominator / static_cast<double>(true_sum) - 1.0), epsilon);
    EXPECT_LE(std::fabs(numerator / denominator - static_cast<double>(true_top / true_sum)),
              epsilon / (1.0 + std::sqrt(1.0 - epsilon * epsilon)));
  }
}

TEST(TupleFactors, AxesThatAreZeroOnASideAddNoRank) {
  Random random(36);
  TupleCase p{.n = 3, .d = 4, .heads = 2, .lengths = {3, 4}};
  p.fill(random, 0.9, 0.9);
  for (std::int64_t i = 0; i < 6; ++i) p.q[index(4 * i)] = 0.0;
  for (std::int64_t j = 0; j < 8; ++j) p.keys[1][index(4 * j + 2)] = 0.0;
  for (std::int64_t j = 0; j < 3; ++j) p.keys[0][index(4 * j + 3)] = 0.0;  // in the first head only
  const FactorOptions options = tolerance(1e-3);
  const Factors result = make(p, options);
  EXPECT_EQ(result.axes, 2);  // of which the first head uses one
  judge(p, options, result);
  for (std::int64_t i = 0; i < 3; ++i) p.q[index(4 * i + 3)] = 1e90;  // times 0 in the first head
  judge(p, options, make(p, options));
  p.scale = 0.0;
  const Factors constant = make(p, options);
  EXPECT_EQ(constant.rank, 1);
  judge(p, options, constant);
}

TEST(TupleFactors, HeadsThatShareKeysOfSomeSets) {
  Random random(37);
  TupleCase p{.n = 3, .d = 2, .batch = 2, .heads = 4, .lengths = {3, 2, 4}, .set_heads = {2, 1, 4}};
  p.fill(random, 0.9, 0.9);
  for (std::int64_t i = 0; i < 3 * 2; ++i) p.q[index(i)] *= 2.0;  // heads differ in what they need
  for (const ScoreRange range : {ScoreRange::bounded, ScoreRange::scanned}) {
    FactorOptions options = tolerance(1e-4);
    options.range = range;
    const Factors result = make(p, options);
    judge(p, options, result);
    EXPECT_EQ(result.heads[5].head, 1);
    EXPECT_EQ(result.heads[5].batch, 1);
    options.threads = 1;
    const Factors again = make(p, options);
    for (std::size_t f = 0; f < 4; ++f) {
      EXPECT_EQ(std::memcmp(again.u[f].data(), result.u[f].data(), result.u[f].bytes()), 0);
    }
  }
}

TEST(TupleFactors, AutomaticScanningIsForWhatIsCheap) {
  Random random(38);
  TupleCase p{.n = 8, .d = 6, .scale = 0.25, .lengths = {8, 8}};
  p.fill(random, 1.0, 1.0);
  FactorOptions options = tolerance(5e-2);
  options.range = ScoreRange::bounded;
  const Factors bounded = make(p, options);
  options.range = ScoreRange::automatic;
  const Factors automatic = make(p, options);
  EXPECT_TRUE(automatic.heads.front().scanned);
  EXPECT_LT(automatic.rank, bounded.rank);
  judge(p, options, automatic);
}

TEST(TupleFactors, EmptySides) {
  Random random(39);
  for (int empty = 0; empty < 3; ++empty) {
    TupleCase p{.n = empty == 0 ? 0 : 2, .d = 2, .lengths = {empty == 1 ? 0 : 3, empty == 2 ? 0 : 2}};
    p.fill(random, 1.0, 1.0);
    const Factors result = make(p, tolerance(1e-3));
    EXPECT_EQ(result.degree, 0);
    EXPECT_EQ(result.u[2].shape(), (Shape{1, 1, p.lengths[1], 1}));
  }
}

// Magnitudes far apart cancel out of the scores; beyond what is proved they are refused.
TEST(TupleFactors, SizesAtTheEndsOfTheRange) {
  Random random(40);
  TupleCase p{.n = 3, .d = 2, .lengths = {3, 3}};
  p.fill(random, 0.8, 0.8);
  for (double& value : p.q) value *= 1e80;
  for (double& value : p.keys[0]) value *= 1e-80;
  const FactorOptions options = tolerance(1e-6);
  judge(p, options, make(p, options));
  for (double& value : p.keys[1]) value *= 1e-200;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"leave the range"}, [&] { make(p, options); }));
}

TEST(TupleFactors, WhatIsRefused) {
  Random random(41);
  TupleCase p{.n = 3, .d = 2, .lengths = {3, 3}};
  p.fill(random, 0.8, 0.8);
  FactorOptions options = tolerance(1e-3);
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"scale"}, [&] { factors(p.q_view(), p.key_views(), options); }));
  options.score = Gaussian{{1.0}};
  EXPECT_TRUE(fails_with(ErrorCode::unsupported, {"gaussian"}, [&] { factors(p.q_view(), p.key_views(), options); }));
  p.scale = 60.0;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"tolerance: 0.001 is not reachable"}, [&] { make(p, options); }));
  p.scale = 1.0;
  p.keys[1][3] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"keys[1]", "NaN at batch 0, head 0, row 1, column 1"},
                         [&] { make(p, options); }));
}

}  // namespace
}  // namespace polyattn::test
