// The public functions: degrees for a tolerance, arguments that mean nothing, foreign floating-point settings.

#include "numerics/exp_polynomial.hpp"
#include "numerics/exp_polynomial_table.hpp"
#include "polyattn/error.hpp"
#include "polyattn/polynomial.hpp"

#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>
#include <limits>
#include <string>

namespace polyattn::test {
namespace {

using numerics::chebyshev_errors;

TEST(ExpPolynomialFor, FindsTheLowestDegree) {
  for (const LowestDegree& row : kLowestDegrees) {
    const ExpPolynomial p = exp_polynomial_for(row.radius, row.tolerance, row.relative);
    const double allowed = row.relative ? row.tolerance * std::exp(-row.radius) : row.tolerance;
    EXPECT_EQ(p.degree, row.degree) << "R = " << row.radius << ", tolerance " << row.tolerance;
    EXPECT_LE(p.error, allowed);
    if (row.degree > 0) {
      EXPECT_GT(exp_polynomial(row.radius, row.degree - 1).error, allowed);
    }
  }
}

TEST(ExpPolynomialFor, KnownDegrees) {
  EXPECT_EQ(exp_polynomial_for(1.0, 1e-3).degree, 4);
  EXPECT_EQ(exp_polynomial_for(2.0, 1e-3).degree, 6);
  EXPECT_EQ(exp_polynomial_for(1.0, 1e-3, true).degree, 5);
  EXPECT_EQ(exp_polynomial_for(2.0, 1e-3, true).degree, 7);
  EXPECT_EQ(exp_polynomial_for(0.0, 1e-300).degree, 0);
  EXPECT_EQ(exp_polynomial_for(1.0, 10.0).degree, 0);
}

// Whoever calls may have flush-to-zero on or round elsewhere than to nearest.
TEST(ExpPolynomial, DoesNotDependOnTheCallersFloatingPointEnvironment) {
  const ExpPolynomial usual = exp_polynomial(2.5, 13, 2);
  for (const int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
    ASSERT_EQ(std::fesetround(mode), 0);
    const ExpPolynomial p = exp_polynomial(2.5, 13, 2);
    const ExpPolynomial lowest = exp_polynomial_for(2.0, 1e-3);
    ASSERT_EQ(std::fesetround(FE_TONEAREST), 0);
    EXPECT_EQ(p.coefficients, usual.coefficients);
    EXPECT_EQ(p.error, usual.error);
    EXPECT_EQ(p.absolute_slack, usual.absolute_slack);
    EXPECT_EQ(p.absolute_sum, usual.absolute_sum);
    EXPECT_EQ(lowest.degree, 6);
  }
}

template <class F>
void expect_error(ErrorCode code, const std::string& part, F call) {
  try {
    call();
    ADD_FAILURE() << "no error; expected one about " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(ExpPolynomial, RefusesWhatHasNoMeaning) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const auto bad = ErrorCode::invalid_argument;
  for (const double radius : {-1.0, -1e-300, 300.1, kInfinity, -kInfinity, kNan}) {
    expect_error(bad, "radius", [&] { exp_polynomial(radius, 4); });
    expect_error(bad, "radius", [&] { exp_polynomial_for(radius, 1e-3); });
    expect_error(bad, "radius", [&] { chebyshev_errors(radius, 4); });
  }
  for (const int degree : {-1, 401, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    expect_error(bad, "degree", [&] { exp_polynomial(1.0, degree); });
    expect_error(bad, "degree", [&] { chebyshev_errors(1.0, degree); });
  }
  expect_error(bad, "moment", [] { exp_polynomial(1.0, 4, -1); });
  expect_error(bad, "moment", [] { exp_polynomial(1.0, 4, 3); });
  expect_error(bad, "moment", [] { exp_polynomial(1.0, 5, std::numeric_limits<int>::max()); });
  for (const double tolerance : {0.0, -1e-3, kInfinity, kNan}) {
    expect_error(bad, "tolerance", [&] { exp_polynomial_for(1.0, tolerance); });
  }
  // Coefficients in float64 stop at about 2^-53 exp(R).
  expect_error(ErrorCode::not_reachable, "tolerance", [] { exp_polynomial_for(60.0, 1e-3); });
  expect_error(ErrorCode::not_reachable, "tolerance", [] { exp_polynomial_for(1.0, 1e-25); });
}

}  // namespace
}  // namespace polyattn::test
