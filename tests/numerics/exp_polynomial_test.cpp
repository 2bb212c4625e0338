#include "numerics/exp_polynomial.hpp"

#include "numerics/exp_polynomial_table.hpp"
#include "numerics/polynomial_oracle.hpp"
#include "support/quad.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using numerics::chebyshev;
using numerics::chebyshev_errors;
using numerics::moment_matched;

const PolynomialOracle& oracle() {
  static const PolynomialOracle instance;
  return instance;
}

std::string name(const ExpPolynomial& p) {
  std::ostringstream stream;
  stream << "R = " << p.radius << ", g = " << p.degree << ", q = " << p.moment;
  return stream.str();
}

// measured / claimed at x, the oracle's own rounding taken off; above 1 means that the bound is broken.
double clearance(const ExpPolynomial& p, double x) {
  const Difference d = oracle().difference(p, x);
  const Quad claimed = static_cast<Quad>(p.error) * power(x, 2 * p.moment) + static_cast<Quad>(p.absolute_slack);
  const Quad measured = d.value > d.rounding ? d.value - d.rounding : Quad(0);
  if (claimed == 0) return measured == 0 ? 0.0 : std::numeric_limits<double>::infinity();
  return static_cast<double>(measured / claimed);
}

double worst_clearance(const ExpPolynomial& p, Random& random) {
  constexpr int kGrid = 24;
  double worst = 0.0;
  const auto look = [&](double x) { worst = std::max(worst, clearance(p, x)); };
  for (int i = 0; i <= kGrid; ++i) look(p.radius * std::cos(3.141592653589793 * i / kGrid));
  for (int i = 0; i < 6; ++i) look(random.uniform(-p.radius, p.radius));
  for (const double part : {0x1p-3, 0x1p-10, 0x1p-30, 0x1p-52}) {
    look(p.radius * part);
    look(-p.radius * part);
  }
  look(0.0);
  return worst;
}

TEST(ExpPolynomial, BoundHoldsOnGridsForAllDegreesAndMoments) {
  Random random(1);
  double worst = 0.0;
  std::string where;
  for (const double radius : {1e-8, 1e-3, 0.1, 0.5, 1.0, 1.9, 2.0, 3.7, 6.0, 10.0, 20.0, 37.0, 60.0}) {
    for (int degree = 0; degree <= 40; ++degree) {
      for (int q = 0; 2 * q <= degree; ++q) {
        const ExpPolynomial p = moment_matched(radius, degree, q);
        ASSERT_TRUE(std::isfinite(p.error) && std::isfinite(p.absolute_slack)) << name(p);
        const double seen = worst_clearance(p, random);
        ASSERT_LE(seen, 1.0) << name(p);
        if (seen > worst) {
          worst = seen;
          where = name(p);
        }
      }
    }
  }
  std::printf("worst clearance (measured / certified): %.6f at %s\n", worst, where.c_str());
}

RC_GTEST_PROP(ExpPolynomial, BoundHoldsForAnyRadiusDegreeAndMoment, ()) {
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  const double radius = random.log_uniform(1e-9, 100.0);
  const int degree = *rc::gen::inRange(0, 120);
  const int q = *rc::gen::inRange(0, degree / 2 + 1);
  const ExpPolynomial p = moment_matched(radius, degree, q);
  RC_ASSERT(p.radius == radius && p.degree == degree && p.moment == q);
  RC_ASSERT(p.coefficients.size() == static_cast<std::size_t>(degree) + 1);
  RC_ASSERT(worst_clearance(p, random) <= 1.0);
}

// The truncation error is attained at x = R, so where the rounding of coefficients is small beside it the bound is
// sharp.
TEST(ExpPolynomial, BoundIsAttainedAtTheRadius) {
  int checked = 0;
  for (const double radius : {1e-6, 0.01, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0}) {
    for (int degree = 0; degree <= 40; ++degree) {
      for (int q = 0; 2 * q <= degree; ++q) {
        const ExpPolynomial p = moment_matched(radius, degree, q);
        const double claimed = p.error * static_cast<double>(power(radius, 2 * q));
        if (claimed < 0x1p-45 * p.absolute_sum || claimed < 1e3 * p.absolute_slack) continue;
        ASSERT_GE(clearance(p, radius), 0.99) << name(p);
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 1500);
}

// What the coefficients may cost: half an ulp each and, once the expansion into monomials cancels below 2^-102, that.
TEST(ExpPolynomial, ErrorConstantsAreThoseOfTheTable) {
  for (const TruncationError& row : kTruncationErrors) {
    const ExpPolynomial p = moment_matched(row.radius, row.degree, row.moment);
    const Quad square = power(row.radius, 2 * row.moment);
    const double rounding = static_cast<double>(static_cast<Quad>(0x1p-53 * p.absolute_sum) / square);
    const double arithmetic = 0x1p-93 * std::exp(1.4143 * row.radius) / std::tgamma(2.0 * row.moment + 1.0);
    EXPECT_GE(p.error, row.error * (1.0 - 0x1p-52)) << name(p);  // the table is rounded to nearest
    EXPECT_LE(p.error, row.error * (1.0 + 2e-6) + 1.001 * rounding + arithmetic) << name(p);
  }
}

TEST(ExpPolynomial, TruncationErrorsAreBesselSums) {
  for (const TruncationError& row : kTruncationErrors) {
    if (row.moment != 0 || row.error == 0.0) continue;
    const std::vector<double> errors = chebyshev_errors(row.radius, row.degree);
    EXPECT_GE(errors.back(), row.error * (1.0 - 0x1p-52));
    EXPECT_LE(errors.back(), row.error * (1.0 + 2e-6) + 0x1p-62 * std::exp(row.radius));
  }
  for (const double radius : {0.0, 1e-310, 0.3, 4.0, 50.0}) {
    const std::vector<double> errors = chebyshev_errors(radius, 60);
    ASSERT_EQ(errors.size(), 61U);
    for (std::size_t g = 1; g < errors.size(); ++g) {
      EXPECT_LE(errors[g], errors[g - 1]);
      // I_{k+1} <= I_k R / (2k + 2) term by term, hence the same for the sums, and the short way from one to all:
      // delta <= 2 I_{g+1} / (1 - R / (2g + 4)). Each constant is sharp to 2^-20.
      if (radius == 0.0 || errors[g] < 1e-12 * std::exp(radius)) continue;
      const double index = static_cast<double>(g);
      EXPECT_LE(errors[g], errors[g - 1] * radius / (2.0 * index + 2.0) * (1.0 + 2e-6));
      const double first = errors[g - 1] - errors[g];  // 2 I_g
      EXPECT_LE(errors[g - 1] * (1.0 - radius / (2.0 * index + 2.0)), first * (1.0 + 1e-5));
    }
  }
}

TEST(ExpPolynomial, ErrorGrowsWithRadiusAndFallsWithDegree) {
  for (const int degree : {0, 1, 3, 6, 10}) {
    for (int q = 0; 2 * q <= degree; ++q) {
      double before = 0.0;
      for (double radius = 1.0; radius < 30.0; radius *= 1.1) {
        const double error = moment_matched(radius, degree, q).error;
        EXPECT_GT(error, before);
        before = error;
      }
    }
  }
  for (const double radius : {1.0, 3.0, 9.0}) {
    double before = std::numeric_limits<double>::infinity();
    for (int degree = 0; degree <= 14; ++degree) {
      const double error = chebyshev(radius, degree).error;
      EXPECT_LT(error, before);
      before = error;
    }
  }
}

TEST(ExpPolynomial, LowCoefficientsAreTaylors) {
  for (const double radius : {1e-3, 2.0, 25.0}) {
    for (int q = 1; q <= 10; ++q) {
      const ExpPolynomial p = moment_matched(radius, 24, q);
      Quad inverse_factorial = 1;
      for (int t = 0; t < 2 * q; ++t) {
        EXPECT_EQ(p.coefficients[static_cast<std::size_t>(t)], static_cast<double>(inverse_factorial));
        inverse_factorial /= t + 1;
      }
      EXPECT_EQ(p.absolute_slack == 0.0, q == 1);
    }
  }
}

TEST(ExpPolynomial, TinyRadiiGiveTaylor) {
  for (const double radius : {0.0, std::numeric_limits<double>::denorm_min(), 1e-310, 1e-300, 1e-30}) {
    for (const int q : {0, 1, 3}) {
      const ExpPolynomial p = moment_matched(radius, 12, q);
      Quad inverse_factorial = 1;
      for (int t = 0; t <= 12; ++t) {
        // The coefficients of a truncated series differ from 1/t! by relative O(R^2): here only in the last bit, if at
        // all.
        EXPECT_NEAR(p.coefficients[static_cast<std::size_t>(t)] / static_cast<double>(inverse_factorial), 1.0, 0x1p-52);
        inverse_factorial /= t + 1;
      }
      EXPECT_EQ(p.radius, radius);
      EXPECT_LE(p.error, 0x1p-53 / std::tgamma(2.0 * q + 1.0));  // half an ulp of 1/(2q)!, the coefficient of x^(2q)
      EXPECT_LE(clearance(p, radius), 1.0);
      EXPECT_LE(clearance(p, -radius), 1.0);
      EXPECT_EQ(p.error == 0.0, radius == 0.0);
      EXPECT_GE(p.absolute_sum, 1.0);
    }
  }
  const ExpPolynomial constant = chebyshev(0.0, 0);
  EXPECT_EQ(constant.coefficients, std::vector<double>{1.0});
  EXPECT_EQ(constant.error, 0.0);
  EXPECT_LE(constant.absolute_sum, 1.0 + 1e-14);
}

// Useless as approximations in float64, but the bounds have to be true and finite.
TEST(ExpPolynomial, BoundHoldsAtTheLimitsOfTheRange) {
  Random random(2);
  for (const double radius : {1e-200, 1e-5, 1.0, 40.0, 100.0, 300.0}) {
    for (const int degree : {0, 50, 150, 171, 300, 400}) {
      for (const int q : {0, 1, 20, 86, 200}) {
        if (2 * q > degree) continue;
        const ExpPolynomial p = moment_matched(radius, degree, q);
        ASSERT_TRUE(std::isfinite(p.error) && std::isfinite(p.absolute_sum)) << name(p);
        ASSERT_LE(worst_clearance(p, random), 1.0) << name(p);
        for (const double c : p.coefficients) ASSERT_TRUE(c == 0.0 || std::isnormal(c)) << name(p);
      }
    }
  }
}

TEST(ExpPolynomial, AbsoluteSumIsRoundedUp) {
  for (const double radius : {0.0, 1e-310, 1e-3, 1.0, 8.0, 60.0}) {
    for (const int degree : {0, 3, 12, 40}) {
      const ExpPolynomial p = moment_matched(radius, degree, degree / 4);
      Quad sum = 0;
      for (std::size_t t = p.coefficients.size(); t-- > 0;) {
        sum = sum * static_cast<Quad>(radius) + static_cast<Quad>(std::fabs(p.coefficients[t]));
      }
      EXPECT_GE(p.absolute_sum, static_cast<double>(sum * (1 - static_cast<Quad>(0x1p-100)))) << name(p);
      EXPECT_LE(p.absolute_sum, static_cast<double>(sum) * (1.0 + 1e-13)) << name(p);
    }
  }
}

TEST(ExpPolynomial, SignedCoefficientsCanExceedExp) {
  EXPECT_NEAR(chebyshev(8.0, 12).absolute_sum / std::exp(8.0), 1.46, 0.01);
}

// One set of coefficients for every compiler and machine.
TEST(ExpPolynomial, CoefficientsAreTheSameBitsEverywhere) {
  std::uint64_t hash = 14695981039346656037ULL;  // FNV-1a over the bit patterns
  for (const double radius : {1e-3, 0.7, 2.0, 5.5, 21.0}) {
    for (const int degree : {4, 9, 24}) {
      for (const int q : {0, 1, 2}) {
        for (const double c : moment_matched(radius, degree, q).coefficients) {
          hash = (hash ^ std::bit_cast<std::uint64_t>(c)) * 1099511628211ULL;
        }
      }
    }
  }
  EXPECT_EQ(hash, 14422612858402159749ULL);
}

}  // namespace
}  // namespace polyattn::test
