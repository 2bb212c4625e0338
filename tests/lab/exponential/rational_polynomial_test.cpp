// Rational polynomials and the enclosures of their errors against values in binary128.

#include "lab/exponential/rational_polynomial.hpp"
#include "lab/exponential/chebyshev_degree.hpp"
#include "polyattn/error.hpp"
#include "support/quad.hpp"

#include <gtest/gtest.h>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::lab {
namespace {

using test::Quad;

/// Decimal digits, rounded once for every digit beyond 34.
Quad integer(const std::string& digits) {
  Quad value = 0;
  for (const char digit : digits) {
    if (digit != '-') value = value * 10 + (digit - '0');
  }
  return digits.starts_with('-') ? -value : value;
}

Quad fraction(const std::string& text) {
  const std::size_t slash = text.find('/');
  return slash == std::string::npos ? integer(text) : integer(text.substr(0, slash)) / integer(text.substr(slash + 1));
}

struct Largest {
  double absolute = 0.0;
  double relative = 0.0;
};

/// The larger of the two; NaN if either is.
double larger(double a, double b) { return std::isnan(a) || b <= a ? a : b; }

/// Over 20,001 points, ends included.
Largest sampled(const std::vector<std::string>& coefficients, double radius) {
  std::vector<Quad> c;
  for (const std::string& text : coefficients) c.push_back(fraction(text));
  Largest largest;
  constexpr int points = 10'000;
  for (int i = -points; i <= points; ++i) {
    const Quad x = static_cast<Quad>(radius) * i / points;
    Quad value = 0;
    for (std::size_t t = c.size(); t-- > 0;) value = value * x + c[t];
    const Quad exact = test::exp_of(x);
    largest.absolute = larger(largest.absolute, std::abs(static_cast<double>(value - exact)));
    largest.relative = larger(largest.relative, std::abs(static_cast<double>(value / exact - 1)));
  }
  return largest;
}

/// binary128 is off by some 100 units of 2^-113 in sums of terms of up to 2 e^R; samples miss the largest value by
/// (g / points)^2 of it or so, and an enclosure is 2^-10 wide.
void expect_enclosed(const RationalPolynomial& p) {
  ASSERT_EQ(p.coefficients.size(), static_cast<std::size_t>(p.degree) + 1);
  const Largest largest = sampled(p.coefficients, p.radius);
  const double rounding = 0x1p-105 * std::exp(p.radius);
  EXPECT_LE(largest.absolute, p.absolute.high + rounding);
  EXPECT_GE(largest.absolute * (1.0 + 1e-3) + rounding, p.absolute.low);
  const double relative_rounding = 0x1p-105 * std::exp(2.0 * p.radius);
  EXPECT_LE(largest.relative, p.relative.high + relative_rounding);
  EXPECT_GE(largest.relative * (1.0 + 1e-3) + relative_rounding, p.relative.low);
  EXPECT_LE(p.absolute.low, p.absolute.high);
  EXPECT_LE(p.absolute.high, p.absolute.low * (1.0 + 0x1p-9) + std::numeric_limits<double>::denorm_min());
  EXPECT_LE(p.relative.high, p.relative.low * (1.0 + 0x1p-9) + std::numeric_limits<double>::denorm_min());
}

TEST(RationalPolynomial, ErrorsAreEnclosed) {
  for (const double radius : {0.1, 1.0, 2.0, 7.5}) {
    for (const int degree : {0, 1, 2, 6, 15}) {
      SCOPED_TRACE(std::to_string(radius) + " " + std::to_string(degree));
      const RationalPolynomial p = rational_exp_polynomial(radius, degree);
      EXPECT_EQ(p.degree, degree);
      expect_enclosed(p);
    }
  }
}

TEST(RationalPolynomial, ErrorsOfLowDegreesOnWideIntervalsAreEnclosed) {
  for (const double radius : {30.0, 60.0, 200.0}) {
    for (const int degree : {0, 1, 3, 30}) {
      SCOPED_TRACE(std::to_string(radius) + " " + std::to_string(degree));
      expect_enclosed(rational_exp_polynomial(radius, degree));
    }
  }
}

TEST(RationalPolynomial, MeetsItsTolerance) {
  for (const double radius : {0.5, 2.0, 6.0}) {
    for (const double tolerance : {0.5, 1e-3, 1e-9, 1e-14}) {
      SCOPED_TRACE(std::to_string(radius) + " " + std::to_string(tolerance));
      const RationalPolynomial absolute = rational_exp_polynomial_for(radius, tolerance, false);
      EXPECT_LE(absolute.absolute.high, tolerance);
      expect_enclosed(absolute);
      const RationalPolynomial relative = rational_exp_polynomial_for(radius, tolerance, true);
      EXPECT_LE(relative.relative.high, tolerance);
      expect_enclosed(relative);
    }
  }
}

TEST(RationalPolynomial, IsSimple) {
  const RationalPolynomial p = rational_exp_polynomial_for(2.0, 1e-3, false);
  EXPECT_EQ(p.degree, 6);
  // Half of what the series leaves of the tolerance is shared by seven terms, so coefficient t may lie anywhere in an
  // interval of length 2 room / 2^t, which holds a fraction with denominator ceil(1 / length). All coefficients are
  // below 2 and the last is below 1, so no numerator has more bits than the last of these denominators.
  const double room = 0.5 * (1e-3 - std::exp(log_chebyshev_error(2.0, 6))) / 7.0;
  const auto most = [&](int t) { return std::ceil(std::ldexp(1.0, t) / (2.0 * room)); };
  for (int t = 0; t <= 6; ++t) {
    const std::string& text = p.coefficients[static_cast<std::size_t>(t)];
    const std::size_t slash = text.find('/');
    const double denominator = slash == std::string::npos ? 1.0 : std::stod(text.substr(slash + 1));
    EXPECT_LE(denominator, most(t)) << t;
  }
  EXPECT_LE(p.bits, std::bit_width(static_cast<std::uint64_t>(most(6))));
  const RationalPolynomial nothing = rational_exp_polynomial(0.0, 2);
  EXPECT_EQ(nothing.coefficients, (std::vector<std::string>{"1", "0", "0"}));
  EXPECT_EQ(nothing.absolute.high, 0.0);
}

TEST(Enclosure, OfPolynomialsThatAreFarFromExp) {
  // The zero polynomial: e^R, and 1 everywhere. Then x^2 on [-3, 3]: the largest |x^2 - e^x| is at 3, |x^2 e^-x - 1| at
  // -3.
  const Enclosure zero = enclose_error({"0"}, 2.0, ErrorKind::absolute);
  EXPECT_LE(zero.low, std::exp(2.0) * (1.0 + 1e-15));
  EXPECT_GE(zero.high, std::exp(2.0) * (1.0 - 1e-15));
  EXPECT_LE(zero.high, zero.low * (1.0 + 0x1p-9));
  const Enclosure one = enclose_error({"0"}, 2.0, ErrorKind::relative);
  EXPECT_LE(one.low, 1.0);
  EXPECT_GE(one.low, 1.0 - 1e-15);
  EXPECT_GE(one.high, 1.0);
  EXPECT_LE(one.high, 1.002);
  const Enclosure square = enclose_error({"0", "0", "1"}, 3.0, ErrorKind::absolute);
  EXPECT_LE(square.low, std::exp(3.0) - 9.0 + 1e-13);
  EXPECT_GE(square.high, std::exp(3.0) - 9.0 - 1e-13);
  const Enclosure steep = enclose_error({"0", "0", "1"}, 3.0, ErrorKind::relative);
  EXPECT_LE(steep.low, 9.0 * std::exp(3.0) - 1.0 + 1e-12);
  EXPECT_GE(steep.high, 9.0 * std::exp(3.0) - 1.0 - 1e-12);
  // 1 + x at 1.
  const Enclosure line = enclose_error({"1", "1"}, 1.0, ErrorKind::absolute);
  EXPECT_LE(line.low, std::exp(1.0) - 2.0 + 1e-15);
  EXPECT_GE(line.high, std::exp(1.0) - 2.0 - 1e-15);
}

TEST(Enclosure, FindsALargestErrorInside) {
  // 1 + 9/4 (1 - x^2) is e^x off by most near x = -0.27, where neither ends nor middle of the interval are.
  const std::vector<std::string> hill{"13/4", "0", "-9/4"};
  const Enclosure found = enclose_error(hill, 1.0, ErrorKind::absolute);
  const Largest largest = sampled(hill, 1.0);
  EXPECT_LE(found.low, largest.absolute * (1.0 + 1e-6));
  EXPECT_GE(found.high, largest.absolute);
  EXPECT_GT(largest.absolute, 13.0 / 4.0 - 1.0);  // at 0
}

TEST(Enclosure, RefusesWhatMakesNoSense) {
  EXPECT_THROW(static_cast<void>(enclose_error({}, 1.0, ErrorKind::absolute)), Error);
  EXPECT_THROW(static_cast<void>(enclose_error({"1"}, -1.0, ErrorKind::absolute)), Error);
  EXPECT_THROW(static_cast<void>(enclose_error({"1", "x"}, 1.0, ErrorKind::absolute)), Error);
  EXPECT_THROW(static_cast<void>(enclose_error({"1/0"}, 1.0, ErrorKind::absolute)), Error);
  EXPECT_THROW(static_cast<void>(rational_exp_polynomial(301.0, 3)), Error);
  EXPECT_THROW(static_cast<void>(rational_exp_polynomial(1.0, -1)), Error);
  EXPECT_THROW(static_cast<void>(rational_exp_polynomial(1.0, 401)), Error);
  EXPECT_THROW(static_cast<void>(rational_exp_polynomial_for(1.0, 0.0, false)), Error);
  EXPECT_THROW(static_cast<void>(rational_exp_polynomial_for(200.0, 1e-300, true)), Error);
}

}  // namespace
}  // namespace polyattn::lab
