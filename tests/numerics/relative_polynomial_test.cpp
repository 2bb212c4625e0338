// Polynomials close to exp in relative error: the bound in binary128, and that hardly anything better exists.

#include "numerics/relative_polynomial.hpp"

#include "support/quad.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <tuple>
#include <utility>
#include <vector>

namespace polyattn::test {
namespace {

using numerics::relative_polynomial;
using numerics::RelativePolynomial;

struct Measured {
  double value = 0.0;     ///< P(s) exp(middle - s) - 1
  double rounding = 0.0;  ///< how far that may be from the truth
};

Measured relative_difference(const RelativePolynomial& p, double s) {
  const Quad u = static_cast<Quad>(s) / static_cast<Quad>(p.radius);
  Quad sum = 0;
  for (std::size_t t = p.coefficients.size(); t-- > 0;) sum = sum * u + static_cast<Quad>(p.coefficients[t]);
  const Quad inverse = exp_of(static_cast<Quad>(p.middle) - static_cast<Quad>(s));
  const double majorant = p.absolute_sum(std::fabs(s)) * static_cast<double>(inverse) + 1.0;
  return {static_cast<double>(sum * inverse - 1), majorant * 4.0 * (p.degree + 4.0) * kUnitRoundoff<Quad>};
}

/// Largest measured error over the bound, on a grid that holds both ends.
double worst_ratio(double low, double high, int degree) {
  const RelativePolynomial p = relative_polynomial(low, high, degree);
  EXPECT_LE(std::fabs(high - p.middle), p.radius);
  EXPECT_LE(std::fabs(low - p.middle), p.radius);
  EXPECT_EQ(p.coefficients.size(), static_cast<std::size_t>(degree) + 1);
  double worst = 0.0;
  constexpr int kSteps = 400;
  for (int step = 0; step <= kSteps; ++step) {
    const double s = step == kSteps ? high : low + (high - low) * step / kSteps;
    const Measured found = relative_difference(p, s);
    EXPECT_LE(std::fabs(found.value), p.error + found.rounding) << low << " " << high << " " << degree << " at " << s;
    worst = std::max(worst, (std::fabs(found.value) - found.rounding) / p.error);
  }
  return worst;
}

TEST(RelativePolynomial, ErrorIsAtMostWhatItSays) {
  double worst = 0.0;
  for (const auto& [low, high] : std::vector<std::pair<double, double>>{{-1e-9, 1e-9},
                                                                        {-1e-3, 1e-3},
                                                                        {-0.5, 0.5},
                                                                        {-2.0, 2.0},
                                                                        {0.0, 3.0},
                                                                        {-3.0, 0.0},
                                                                        {-5.0, 5.0},
                                                                        {-1.0, 6.0},
                                                                        {-10.0, 10.0},
                                                                        {-3.0, 12.0},
                                                                        {-17.0, 17.0},
                                                                        {-24.0, 24.0},
                                                                        {0.0, 48.0},
                                                                        {0.0, 1e-300},
                                                                        {-5e-324, 5e-324}}) {
    for (const int degree : {0, 1, 2, 3, 5, 8, 12, 17, 24, 40, 64}) {
      worst = std::max(worst, worst_ratio(low, high, degree));
    }
  }
  Random random(7);
  for (int round = 0; round < 60; ++round) {
    const double width = random.log_uniform(1e-6, 36.0);
    const double share = random.unit();
    worst =
        std::max(worst, worst_ratio(-width * share, width * (1.0 - share), static_cast<int>(random.integer(0, 40))));
  }
  std::printf("worst clearance %.6f\n", worst);
  EXPECT_GT(worst, 0.99);  // else the grid missed the ends
}

TEST(RelativePolynomial, OnePointNeedsNoDegree) {
  const RelativePolynomial p = relative_polynomial(0.0, 0.0, 0);
  EXPECT_EQ(p.coefficients, std::vector<double>{1.0});
  EXPECT_LE(p.error, 0x1p-80);
}

// |J_k(R)| <= (R/2)^k/k!, and the rest is smaller still where the degree is not below R.
TEST(RelativePolynomial, ErrorIsThatOfTheFirstBesselFunctionLeftOut) {
  for (const double radius : {0.01, 0.3, 1.0, 2.0, 4.0}) {
    for (int degree = 2 + static_cast<int>(2.0 * radius); degree < 3.0 * radius + 8; ++degree) {
      double term = 1.0;
      for (int k = 1; k <= degree + 1; ++k) term *= 0.5 * radius / k;
      const double first = 2.0 * term / (1.0 - 0.5 * radius / (degree + 2));
      const double rounding = 16.0 * 0x1p-53 * std::exp(2.0 * radius);
      EXPECT_LE(relative_polynomial(-radius, radius, degree).error, 1.01 * first + rounding)
          << "radius " << radius << ", degree " << degree;
    }
  }
}

// De la Vallee Poussin, with the weight exp(-s): where the relative error has degree + 2 extremes of alternating signs
// and at least some size, no polynomial of this degree does better than this size. With q >= J_{k+1}/J_k for k > degree
// (J_{k+1}/J_k = R/(2k + 2 - R J_{k+2}/J_{k+1}), and J_k falls for k >= R) the bound is at most 2 J_{degree+1}/(1 - q),
// the extremes at least 2 J_{degree+1} (1 - q/(1 - q)).
TEST(RelativePolynomial, HardlyAnyPolynomialIsBetter) {
  for (const auto& [low, high, degree] : std::vector<std::tuple<double, double, int>>{
           {-0.1, 0.1, 1}, {-1.0, 1.0, 4}, {-2.0, 2.0, 6}, {0.0, 5.0, 7}, {-5.0, 5.0, 12}, {-8.0, 8.0, 19}}) {
    const RelativePolynomial p = relative_polynomial(low, high, degree);
    std::vector<double> extremes;  // largest of each run of one sign
    constexpr int kSteps = 20000;
    for (int step = 0; step <= kSteps; ++step) {
      const double e = relative_difference(p, low + (high - low) * step / kSteps).value;
      if (extremes.empty() || (e > 0.0) != (extremes.back() > 0.0)) {
        extremes.push_back(e);
      } else if (std::fabs(e) > std::fabs(extremes.back())) {
        extremes.back() = e;
      }
    }
    ASSERT_EQ(extremes.size(), static_cast<std::size_t>(degree) + 2);
    double smallest = p.error;
    for (const double e : extremes) smallest = std::min(smallest, std::fabs(e));
    std::printf("[%g, %g], degree %d: bound / best possible <= %.3f\n", low, high, degree, p.error / smallest);
    const double q = p.radius / (2.0 * (degree + 2) - p.radius);
    EXPECT_LE(p.error, 1.001 / (1.0 - 2.0 * q) * smallest);
  }
}

TEST(RelativePolynomial, AbsoluteSumBoundsTheTerms) {
  const RelativePolynomial p = relative_polynomial(-2.0, 3.0, 9);
  for (const double a : {0.0, 1.0, 2.5, 7.0}) {
    Quad sum = 0;
    for (std::size_t t = p.coefficients.size(); t-- > 0;) {
      sum = sum * static_cast<Quad>(a) / static_cast<Quad>(p.radius) + static_cast<Quad>(std::fabs(p.coefficients[t]));
    }
    EXPECT_GE(static_cast<Quad>(p.absolute_sum(a)), sum);
    EXPECT_LE(p.absolute_sum(a), static_cast<double>(sum) * (1.0 + 1e-12));
  }
}

}  // namespace
}  // namespace polyattn::test
