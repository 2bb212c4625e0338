// The papers' formulas against numbers worked out otherwise.

#include "lab/threshold/theory.hpp"
#include "lab/exponential/chebyshev_degree.hpp"
#include "lab/threshold/degrees.hpp"
#include "polyattn/error.hpp"
#include "polyattn/polynomial.hpp"

#include <gtest/gtest.h>
#include <cmath>
#include <limits>
#include <string>

namespace polyattn::lab {
namespace {

/// 2 sum_{k > g} I_k(R) by the power series of I_k, in long double: all terms positive.
long double chebyshev_error(long double radius, int degree) {
  long double sum = 0.0L;
  for (int k = degree + 1; k < degree + 400; ++k) {
    long double term = 1.0L;
    for (int i = 1; i <= k; ++i) term *= radius / 2.0L / static_cast<long double>(i);
    for (int m = 1; m < 400; ++m) {
      sum += term;
      term *= radius * radius / 4.0L / (static_cast<long double>(m) * static_cast<long double>(m + k));
    }
  }
  return 2.0L * sum;
}

TEST(ChebyshevDegree, ErrorIsTheTailOfTheSeries) {
  for (const double radius : {0.125, 1.0, 2.0, 8.0, 30.0}) {
    for (const int degree : {0, 1, 4, 10, 40}) {
      const long double exact = std::log(chebyshev_error(static_cast<long double>(radius), degree));
      const double bound = log_chebyshev_error(radius, degree);
      EXPECT_GE(static_cast<long double>(bound), exact - 1e-15L * std::abs(exact)) << radius << " " << degree;
      EXPECT_LE(static_cast<long double>(bound), exact + 1e-11L)
          << radius << " " << degree;  // a tail of 2^-40, rounding
    }
  }
  EXPECT_EQ(log_chebyshev_error(0.0, 0), -std::numeric_limits<double>::infinity());
}

TEST(ChebyshevDegree, IsThatOfThePolynomialsTheEngineUses) {
  for (const double radius : {0.5, 1.0, 2.0, 5.0}) {
    for (const double tolerance : {1e-1, 1e-3, 1e-6}) {
      EXPECT_EQ(least_degree(radius, std::log(tolerance), false), exp_polynomial_for(radius, tolerance).degree);
      EXPECT_EQ(least_degree(radius, std::log(tolerance), true), exp_polynomial_for(radius, tolerance, true).degree);
    }
  }
}

TEST(ChebyshevDegree, IsLeast) {
  for (const double radius : {1.0, 40.0, 300.0}) {
    const double allowed = std::log(1e-9);
    const int degree = least_degree(radius, allowed, true);
    ASSERT_GT(degree, 0);
    EXPECT_LE(log_chebyshev_error(radius, degree), allowed - radius);
    EXPECT_GT(log_chebyshev_error(radius, degree - 1), allowed - radius);
    EXPECT_EQ(least_degree(radius, allowed, true, degree - 1), -1);
    EXPECT_EQ(least_degree(radius, allowed, true, degree), degree);
    const double largest = largest_radius(degree, allowed, true);
    EXPECT_GE(largest, radius * (1.0 - 1e-7));
    EXPECT_EQ(least_degree(largest, allowed, true), degree);
    EXPECT_GT(least_degree(largest * (1.0 + 2e-7), allowed, true), degree);
  }
}

TEST(ChebyshevDegree, RefusesWhatMakesNoSense) {
  EXPECT_THROW(static_cast<void>(log_chebyshev_error(-1.0, 3)), Error);
  EXPECT_THROW(static_cast<void>(log_chebyshev_error(std::numeric_limits<double>::quiet_NaN(), 3)), Error);
  EXPECT_THROW(static_cast<void>(log_chebyshev_error(1.0, -1)), Error);
}

TEST(Theory, SizesOfTheRegime) {
  EXPECT_EQ(dimensions(0.5, 1024), 5);
  EXPECT_EQ(dimensions(0.5, 2048), 6);
  EXPECT_EQ(dimensions(1.0, 8192), 13);
  EXPECT_EQ(dimensions(0.01, 8), 1);
  EXPECT_EQ(dimensions(0.1, 1 << 20), 2);  // though 0.1 is a little more than a tenth
  EXPECT_DOUBLE_EQ(tolerance_of(0.5, 1024), 1.0 / 32.0);
  EXPECT_DOUBLE_EQ(score_bound(1.5, 3), 3.375);
}

TEST(Theory, BinomialsAreExact) {
  EXPECT_EQ(binomial_text(14, 6), "3003");
  EXPECT_EQ(binomial_text(28, 12), "30421755");  // d = 8, g = 6 in the papers' count
  EXPECT_EQ(binomial_text(100, 50), "100891344545564193334812497256");
  EXPECT_NEAR(log_binomial(28, 12), std::log(30421755.0), 1e-12);
  EXPECT_NEAR(log_rank(Count::papers, 2, 8, 6), std::log(30421755.0), 1e-12);
  EXPECT_NEAR(log_rank(Count::papers, 3, 2, 1), std::log(84.0), 1e-12);  // C(9, 3)
  EXPECT_NEAR(log_rank(Count::ours, 3, 8, 6), std::log(3003.0), 1e-12);
}

TEST(Theory, ThresholdIsWhereTheRankReachesN) {
  // n = 2^10, d = 5: C(12, 7) = 792 <= 1024 < C(13, 8) = 1287; the degree serves up to B, and not beyond.
  const TheoryThreshold found = theory_threshold(Count::ours, 2, 0.5, 0.5, 10.0);
  EXPECT_EQ(found.dim, 5.0);
  EXPECT_EQ(found.degree, 7);
  const double allowed = std::log(1.0 / 32.0);
  EXPECT_EQ(least_degree(found.entries * found.entries, allowed, true), 7);
  EXPECT_EQ(least_degree(found.entries * found.entries * 1.001, allowed, true), 8);
  // Order 3: n^2 = 2^20 products, papers' rank C(3(5 + g), 3g): C(21, 6) = 54264, C(24, 9) = 1307504.
  EXPECT_EQ(theory_threshold(Count::papers, 3, 0.5, 0.5, 10.0).degree, 2);
  // Where even degree 1 is too much: d = 40 at n = 2^10, C(82, 2) = 3321.
  EXPECT_EQ(theory_threshold(Count::papers, 2, 4.0, 0.5, 10.0).entries, 0.0);
}

TEST(Theory, FormulaIsThatOfLemma21) {
  EXPECT_DOUBLE_EQ(optimal_degree(1.0, std::exp(-10.0)), 10.0 / std::log(10.0));
  EXPECT_DOUBLE_EQ(optimal_degree(50.0, std::exp(-10.0)), 50.0);
  EXPECT_DOUBLE_EQ(optimal_degree(9.0, std::exp(-10.0)), 10.0);  // ln(10/9) would make it 95
  const std::vector<DegreeRow> rows = degree_table();
  ASSERT_FALSE(rows.empty());
  for (const DegreeRow& row : rows) {
    ASSERT_GE(row.degree, 1);
    // exp on [0, B] to within eps is exp on [-B/2, B/2] to within eps exp(-B/2).
    const double allowed = std::log(row.tolerance) - row.length / 2.0;
    EXPECT_LE(log_chebyshev_error(row.length / 2.0, row.degree), allowed);
    EXPECT_GT(log_chebyshev_error(row.length / 2.0, row.degree - 1), allowed);
  }
  const RatioRange range = ratio_range(rows);
  EXPECT_NEAR(range.low, 0.66, 0.005);  // what docs/lab.md publishes, to its digits
  EXPECT_NEAR(range.high, 1.59, 0.005);
}

}  // namespace
}  // namespace polyattn::lab
