#include "numerics/papers_bound.hpp"

#include "numerics/exp_polynomial.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

using numerics::chebyshev;
using numerics::lemma_2_1_degree;
using numerics::papers_bound;
using numerics::relative_error;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double evaluate(const ExpPolynomial& p, double x) {
  double sum = 0.0;
  for (std::size_t t = p.coefficients.size(); t-- > 0;) sum = sum * x + p.coefficients[t];
  return sum;
}

TEST(PapersBound, HoldsForRandomAndAdversarialRows) {
  Random random(7);
  double worst = 0.0;
  for (int trial = 0; trial < 2000; ++trial) {
    const double radius = random.log_uniform(0.05, 6.0);
    const ExpPolynomial p = chebyshev(radius, static_cast<int>(random.integer(1, 14)));
    const double largest = random.log_uniform(1e-3, 1e3);  // the lemma's B > 1 is a choice of unit
    const double bound = papers_bound(p, largest);
    if (std::isinf(bound)) continue;
    double weights = 0.0, weighted = 0.0, approximate_weights = 0.0, approximate = 0.0;
    const bool extreme = random.chance(0.5);
    for (int j = 0; j < 40; ++j) {
      const double s = extreme ? radius * random.sign() : random.uniform(-radius, radius);
      const double v = extreme ? largest * random.sign() : random.uniform(-largest, largest);
      weights += std::exp(s);
      weighted += std::exp(s) * v;
      approximate_weights += evaluate(p, s);
      approximate += evaluate(p, s) * v;
    }
    const double error = std::fabs(approximate / approximate_weights - weighted / weights);
    // The quotients here carry 100 roundings each at most, on sums of |w v| <= largest times the sum of w.
    const double slack = 400.0 * 0x1p-53 * largest * p.absolute_sum * std::exp(radius);
    EXPECT_LE(error, bound + slack);
    worst = std::max(worst, error / (bound + slack));
  }
  EXPECT_GT(worst, 0.1);
  std::printf("worst clearance (measured / certified): %.4f\n", worst);
}

TEST(PapersBound, IsTwiceTheRelativeErrorTimesTheLargestValue) {
  const ExpPolynomial p = chebyshev(2.0, 7);
  const double epsilon = relative_error(p);
  EXPECT_NEAR(epsilon, p.error * std::exp(2.0), 1e-13 * epsilon);
  EXPECT_GE(epsilon, p.error * std::exp(2.0));
  EXPECT_LT(epsilon, 1e-3);
  EXPECT_NEAR(papers_bound(p, 3.0), 6.0 * epsilon, 1e-13 * epsilon);
  EXPECT_EQ(papers_bound(p, 0.0), 0.0);
  EXPECT_EQ(papers_bound(chebyshev(0.0, 0), 5.0), 0.0);
}

TEST(PapersBound, IsVacuousWhereTheLemmasDoNotApply) {
  EXPECT_EQ(papers_bound(chebyshev(2.0, 1), 1.0), kInfinity);
  EXPECT_EQ(papers_bound(chebyshev(30.0, 20), 1.0), kInfinity);
  EXPECT_EQ(papers_bound(chebyshev(300.0, 400), 1.0), kInfinity);
  EXPECT_EQ(papers_bound(numerics::moment_matched(0.1, 4, 1), 1.0), kInfinity);
  const ExpPolynomial p = chebyshev(1.0, 8);
  for (const double value : {-1.0, kInfinity, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(papers_bound(p, value), kInfinity);
  }
}

TEST(PapersBound, DegreeOfLemma21) {
  // L = ln 1000 = 6.9078; L / ln(L / 2) = 5.573 > 2.
  ASSERT_TRUE(lemma_2_1_degree(2.0, 1e-3).has_value());
  EXPECT_NEAR(*lemma_2_1_degree(2.0, 1e-3), 5.5730, 1e-4);
  // L / ln(L / B) = 6.9078 / ln 6.9078 = 3.57425.
  EXPECT_NEAR(*lemma_2_1_degree(1.0, 1e-3), 3.57425, 1e-5);
  EXPECT_FALSE(lemma_2_1_degree(7.0, 1e-3).has_value());
  EXPECT_FALSE(lemma_2_1_degree(1.0, 0.1).has_value());
  EXPECT_FALSE(lemma_2_1_degree(1.0, 0.0).has_value());
  EXPECT_FALSE(lemma_2_1_degree(0.0, 1e-3).has_value());
  EXPECT_FALSE(lemma_2_1_degree(kInfinity, 1e-3).has_value());
  EXPECT_FALSE(lemma_2_1_degree(1.0, std::numeric_limits<double>::quiet_NaN()).has_value());
}

}  // namespace
}  // namespace polyattn::test
