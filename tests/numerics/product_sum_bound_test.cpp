#include "numerics/product_sum_bound.hpp"

#include "support/random.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

using numerics::PointRows;
using numerics::product_sum_bound;

struct Sides {
  std::int64_t dim = 0;
  std::vector<std::vector<double>> data{};

  [[nodiscard]] std::vector<PointRows> rows() const {
    std::vector<PointRows> result;
    for (const auto& side : data) result.push_back({side.data(), static_cast<std::int64_t>(side.size()) / dim, dim});
    return result;
  }
  [[nodiscard]] double bound() const { return product_sum_bound(rows()); }
};

/// The largest of the sums themselves, over all tuples.
long double largest_sum(const Sides& sides) {
  long double largest = 0.0L;
  const std::vector<PointRows> rows = sides.rows();
  std::vector<std::int64_t> tuple(rows.size(), 0);
  for (bool more = true; more;) {
    long double sum = 0.0L;
    for (std::int64_t l = 0; l < sides.dim; ++l) {
      long double term = 1.0L;
      for (std::size_t s = 0; s < rows.size(); ++s) {
        term *= static_cast<long double>(rows[s].data[tuple[s] * sides.dim + l]);
      }
      sum += std::fabs(term);
    }
    largest = std::max(largest, sum);
    more = false;
    for (std::size_t s = 0; s < rows.size() && !more; ++s) {
      more = ++tuple[s] < rows[s].count;
      if (!more) tuple[s] = 0;
    }
  }
  return largest;
}

/// The sum over axes of the products of largest entries.
double box(const Sides& sides) {
  double sum = 0.0;
  for (std::int64_t l = 0; l < sides.dim; ++l) {
    double product = 1.0;
    for (const PointRows& side : sides.rows()) {
      double largest = 0.0;
      for (std::int64_t j = 0; j < side.count; ++j) largest = std::max(largest, std::fabs(side.data[j * side.dim + l]));
      product *= largest;
    }
    sum += product;
  }
  return sum;
}

Sides draw(Random& random, std::int64_t count, std::int64_t most_rows) {
  Sides sides{random.integer(1, 6), {}};
  for (std::int64_t s = 0; s < count; ++s) {
    std::vector<double> scales;
    for (std::int64_t l = 0; l < sides.dim; ++l)
      scales.push_back(random.chance(0.1) ? 0.0 : random.log_uniform(1e-2, 1e2));
    sides.data.emplace_back();
    const std::int64_t rows = random.integer(1, most_rows);
    for (std::int64_t e = 0; e < rows * sides.dim; ++e) {
      sides.data.back().push_back(scales[static_cast<std::size_t>(e % sides.dim)] * random.normal());
    }
  }
  return sides;
}

TEST(ProductSumBound, IsAtLeastEverySumAndAtMostTheBox) {
  Random random(1);
  double tightest = 0.0;
  for (int round = 0; round < 2000; ++round) {
    const Sides sides = draw(random, random.integer(1, 5), 4);
    const double bound = sides.bound();
    const long double truth = largest_sum(sides);
    ASSERT_GE(static_cast<long double>(bound), truth);
    ASSERT_LE(bound, box(sides) * (1.0 + 1e-11));
    if (truth > 0.0L) tightest = std::max(tightest, static_cast<double>(truth / static_cast<long double>(bound)));
  }
  std::printf("tightest %.6f\n", tightest);
  EXPECT_GT(tightest, 0.999999);
}

// One row a side: nothing is lost but rounding.
TEST(ProductSumBound, IsTheSumItselfForSingleRows) {
  Random random(2);
  for (int round = 0; round < 200; ++round) {
    const Sides sides = draw(random, random.integer(1, 5), 1);
    const auto truth = static_cast<double>(largest_sum(sides));
    EXPECT_LE(sides.bound(), truth * (1.0 + 1e-11));
  }
}

// Scaling the axes of one side up and of another down changes no sum, and no more than the rounding of the bound.
TEST(ProductSumBound, DoesNotDependOnTheScalesOfAxes) {
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    Sides sides = draw(random, random.integer(2, 4), 6);
    const double before = sides.bound();
    for (std::int64_t l = 0; l < sides.dim; ++l) {
      const double by = std::ldexp(1.0, static_cast<int>(random.integer(-60, 60)));
      for (std::size_t e = static_cast<std::size_t>(l); e < sides.data[0].size();
           e += static_cast<std::size_t>(sides.dim))
        sides.data[0][e] *= by;
      for (std::size_t e = static_cast<std::size_t>(l); e < sides.data[1].size();
           e += static_cast<std::size_t>(sides.dim))
        sides.data[1][e] /= by;
    }
    EXPECT_NEAR(sides.bound(), before, 1e-11 * before);
  }
}

// In many coordinates norms beat the box by far: (2, 4, 4) and (3, 3, 3) for three sides.
TEST(ProductSumBound, NormsBeatTheBoxInManyCoordinates) {
  Random random(4);
  for (const std::int64_t count : {2, 3, 4}) {
    Sides sides{64, {}};
    for (std::int64_t s = 0; s < count; ++s) {
      sides.data.emplace_back();
      for (int e = 0; e < 64 * 200; ++e) sides.data.back().push_back(random.normal());
    }
    EXPECT_LT(sides.bound(), 0.4 * box(sides));
  }
}

TEST(ProductSumBound, SizesAtTheEndsOfTheRange) {
  const double tiny = std::numeric_limits<double>::denorm_min();
  EXPECT_EQ((Sides{1, {{0.0, 0.0}, {5.0}}}.bound()), 0.0);
  EXPECT_EQ((Sides{2, {{1.0, 1.0}, {}}}.bound()), 0.0);
  EXPECT_GE((Sides{1, {{tiny}, {tiny}, {1.0}}}.bound()), 0.0);
  EXPECT_GT((Sides{1, {{tiny}, {tiny}, {1.0}}}.bound()), 0.0);
  EXPECT_LT((Sides{1, {{tiny}, {tiny}, {1.0}}}.bound()), 1e-250);
  EXPECT_GE((Sides{2, {{1e-200, 1.0}, {1e-200, 2.0}}}.bound()), 2.0);
  EXPECT_LT((Sides{2, {{1e-200, 1.0}, {1e-200, 2.0}}}.bound()), 2.0 + 1e-10);
  EXPECT_EQ((Sides{1, {{1e300}, {1e300}}}.bound()), std::numeric_limits<double>::infinity());
  EXPECT_GE((Sides{1, {{1e300, tiny}, {1e-300, 1e-10}}}.bound()), 1.0);
}

}  // namespace
}  // namespace polyattn::test
