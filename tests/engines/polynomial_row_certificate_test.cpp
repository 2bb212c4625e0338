// The bounds a row's certificate is made of (row_certificate.cpp) against what they bound: scores and weights as
// numbers, their sums off by as much as the rounding model admits.

#include "engines/polynomial/row_certificate.hpp"

#include "engines/polynomial_support.hpp"
#include "numerics/rounding.hpp"
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

using base::usize;
using engines::KeySideBounds;
using engines::PolynomialTable;
using engines::RoundingModel;
using engines::RowCertificate;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

long double wide(double x) { return static_cast<long double>(x); }

struct ScoreRow {
  std::vector<double> scores;
  std::vector<double> weights;
  double radius = 1.0;
};

ScoreRow random_row(Random& random) {
  ScoreRow row;
  row.radius = random.log_uniform(1e-3, 12.0);
  const std::int64_t keys = random.chance(0.2) ? 1 : random.integer(2, 40);
  const std::int64_t kind = random.integer(0, 5);
  for (std::int64_t j = 0; j < keys; ++j) {
    double s = random.uniform(-row.radius, row.radius);
    if (kind == 1) {
      s = random.sign() * row.radius;  // all on the edge
    } else if (kind == 2) {
      s = -row.radius;
    } else if (kind == 3) {
      s = row.radius;
    } else if (kind == 4 && j > 0) {
      s = row.scores[usize(random.integer(0, j - 1))];  // duplicates
    } else if (kind == 5) {
      s *= 1e-3;  // far from the radius
    }
    row.scores.push_back(s);
    row.weights.push_back(random.chance(0.5) ? 1.0 : std::exp(random.uniform(-40.0, 40.0)));
  }
  return row;
}

struct RowTruth {
  long double weight = 0.0L;
  long double denominator = 0.0L;
  std::vector<long double> moments;
};

RowTruth truth_of_row(const ScoreRow& row, int degree) {
  RowTruth truth;
  truth.moments.assign(static_cast<std::size_t>(degree) + 1, 0.0L);
  for (std::size_t j = 0; j < row.scores.size(); ++j) {
    truth.weight += wide(row.weights[j]);
    truth.denominator += wide(row.weights[j]) * std::exp(wide(row.scores[j]));
    long double power = wide(row.weights[j]);
    for (long double& moment : truth.moments) {
      moment += power;
      power *= wide(row.scores[j]);
    }
  }
  return truth;
}

long double polynomial(const std::vector<double>& coefficients, long double x) {
  long double value = 0.0L;
  for (std::size_t t = coefficients.size(); t-- > 0;) {
    value = value * x + wide(coefficients[t]);
  }
  return value;
}

/// A certificate whose inputs are off by `theta(t)` times what the model admits.
template <class Theta>
RowCertificate certify(const ScoreRow& row, const RowTruth& truth, const PolynomialTable& table, double gamma,
                       const Theta& theta) {
  engines::Frame frame;
  frame.metric = {1.0};
  RoundingModel rounding;
  rounding.gamma = gamma;
  rounding.smallest = 0x1p-1074;
  rounding.unit = gamma;
  KeySideBounds keys;
  keys.weight_low =
      static_cast<double>(truth.weight * (1.0L - wide(gamma) * wide(std::fabs(theta(0))))) * (1.0 - 1e-15);
  keys.weight_high =
      static_cast<double>(truth.weight * (1.0L + wide(gamma) * wide(std::fabs(theta(1))))) * (1.0 + 1e-15);
  keys.range = 1.0;
  keys.largest_deviation = 0.3;
  keys.z_sum = row.radius;
  keys.largest_absolute = keys.weight_high;
  std::vector<double> sums;
  long double power = truth.weight;
  // The sum over degrees, 2 g + 2 roundings, and the rounding of these inputs belong to what gamma admits.
  const double admitted = gamma - (2.0 * static_cast<double>(truth.moments.size()) + 2.0) * numerics::kU64;
  for (std::size_t t = 0; t < truth.moments.size(); ++t) {
    sums.push_back(
        static_cast<double>(truth.moments[t] + wide(theta(static_cast<int>(t) + 2)) * wide(admitted) * power));
    power *= wide(row.radius);
  }
  const engines::RowRadius radius{row.radius, row.radius, true};
  return engines::certify_row(frame, keys, rounding, table, 10, static_cast<double>(row.scores.size()), radius, 0.0,
                              sums.data(), 1);
}

struct RowClearance {
  double error = 0.0;        ///< sum w |P - exp| against its bound
  double denominator = 0.0;  ///< D_low against D
};

void check_row(const ScoreRow& row, const RowTruth& truth, const RowCertificate& certificate, RowClearance& worst) {
  ASSERT_NE(certificate.polynomial, nullptr);
  long double error = 0.0L;
  long double computed = 0.0L;
  for (std::size_t j = 0; j < row.scores.size(); ++j) {
    const long double value = polynomial(certificate.polynomial->coefficients, wide(row.scores[j]));
    error += wide(row.weights[j]) * std::fabs(value - std::exp(wide(row.scores[j])));
    computed += wide(row.weights[j]) * value;
  }
  const long double doubt = 0x1p-58L * std::exp(wide(row.radius)) * truth.weight;  // of the long double sums themselves
  ASSERT_LE(error, wide(certificate.error) + doubt);
  ASSERT_LE(error, wide(certificate.uniform) + doubt);
  ASSERT_LE(wide(certificate.denominator_low), truth.denominator + doubt);
  ASSERT_LE(std::fabs(wide(certificate.denominator) - computed), wide(certificate.rounding_denominator) + doubt);
  ASSERT_LE(certificate.error, certificate.uniform);
  worst.error = std::max(worst.error, static_cast<double>((error - doubt) / wide(certificate.error)));
  worst.denominator =
      std::max(worst.denominator, static_cast<double>((wide(certificate.denominator_low) - doubt) / truth.denominator));
}

TEST(RowCertificate, BoundsWhatItSaysForRandomAndAdversarialRows) {
  Random random(1);
  RowClearance worst;
  for (int trial = 0; trial < 4000; ++trial) {
    const ScoreRow row = random_row(random);
    const int degree = static_cast<int>(random.integer(0, 9));
    const double gamma =
        random.chance(0.5) ? numerics::gamma(100, numerics::kU32) : numerics::gamma(150, numerics::kU64);
    const PolynomialTable table =
        engines::make_table(row.radius * (random.chance(0.3) ? 1.0 : random.log_uniform(1.0, 20.0)), degree, 2);
    const RowTruth truth = truth_of_row(row, degree);
    const bool extreme = random.chance(0.5);
    std::vector<double> theta;
    for (int t = 0; t < degree + 3; ++t) {
      theta.push_back(extreme ? random.sign() : random.uniform(-1.0, 1.0));
    }
    const RowCertificate certificate =
        certify(row, truth, table, gamma, [&](int t) { return theta[static_cast<std::size_t>(t)]; });
    check_row(row, truth, certificate, worst);
    if (HasFatalFailure()) {
      FAIL() << "trial " << trial << ": degree " << degree << ", radius " << row.radius << ", keys "
             << row.scores.size();
    }
  }
  std::printf("worst clearance: error %.6f, denominator %.6f\n", worst.error, worst.denominator);
  EXPECT_GT(worst.error, 0.9) << "the rows are hard enough to come close";
  EXPECT_GT(worst.denominator, 0.9);
}

TEST(RowCertificate, NothingIsSaidBeyondTheTable) {
  ScoreRow row{{0.5, -1.0}, {1.0, 1.0}, 1.0};
  const PolynomialTable table = engines::make_table(std::nextafter(1.0, 0.0), 3);
  const RowCertificate certificate = certify(row, truth_of_row(row, 3), table, 1e-15, [](int) { return 0.0; });
  EXPECT_EQ(certificate.polynomial, nullptr);
  EXPECT_LE(certificate.denominator_low, 0.0);
  row.radius = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(certify(row, truth_of_row(row, 3), table, 1e-15, [](int) { return 0.0; }).polynomial, nullptr);
}

// A table of one polynomial made up for the purpose: every part of its error is charged to every unit of weight.
TEST(RowCertificate, ChargesEveryPartOfTheError) {
  const ScoreRow row{{0.5, -1.0, 0.25}, {1.0, 3.0, 0.5}, 1.0};
  const RowTruth truth = truth_of_row(row, 2);
  PolynomialTable table;
  table.degree = 2;
  table.radii = {1.0};
  engines::TableEntry entry;
  entry.q = 1;
  entry.coefficients = {1.0, 1.0, 0.5};
  entry.moment_error = 1e-3;
  entry.slack = 1e-5;
  entry.uniform = 1.0;
  table.entries = {{entry}};
  const RowCertificate certificate = certify(row, truth, table, 1e-15, [](int) { return 0.0; });
  const auto weight = static_cast<double>(truth.weight);
  const double expected = 1e-3 * static_cast<double>(truth.moments[2]) + 1e-5 * weight;
  EXPECT_GE(certificate.error, expected);
  EXPECT_LE(certificate.error, expected * (1.0 + 1e-9));
  EXPECT_GE(certificate.uniform, weight);
  table.entries[0][0].uniform = 1e-7;  // the smaller of the two bounds
  EXPECT_LE(certify(row, truth, table, 1e-15, [](int) { return 0.0; }).error, 1e-7 * weight * (1.0 + 1e-9));
}

TEST(RowCertificate, ChargesPerturbedScoresAndWeightsAndLostMass) {
  engines::Frame frame;
  frame.metric = {1.0};
  frame.weight_error = 1e-3;
  RoundingModel rounding = engines::rounding_model<float>(1, 2, 10);
  EXPECT_GE(rounding.score, 2.0 * numerics::kU32 + 2.0 * numerics::kU64) << "both coordinates are rounded, twice each";
  EXPECT_GE(rounding.weight, numerics::kU32);
  EXPECT_EQ(rounding.smallest, 0x1p-149);
  KeySideBounds keys;
  keys.weight_low = keys.weight_high = 2.0;
  keys.largest_deviation = keys.range = keys.largest_absolute = 1.0;
  const double sums[] = {2.0, 0.0};
  const PolynomialTable table = engines::make_table(3.0, 1);
  const RowCertificate certificate =
      engines::certify_row(frame, keys, rounding, table, 2, 10.0, {2.5, 2.25, true}, 0.0, sums, 1);
  EXPECT_GE(certificate.perturbation, rounding.score * 2.25 + rounding.weight + 1e-3);
  EXPECT_LE(certificate.perturbation, (rounding.score * 2.25 + rounding.weight + 1e-3) * (1.0 + 1e-9));
  EXPECT_GE(certificate.lost, 10.0 * 0x1p-149 * std::exp(2.5))
      << "each of ten keys may be off by one subnormal spacing";
  EXPECT_GE(certificate.rounding_scale, rounding.gamma * 1.0);
}

// Where every score is -R the polynomial may come out negative: then only Jensen's inequality is left, and it is sharp.
TEST(RowCertificate, JensenHoldsWhereTheSumDoesNot) {
  const ScoreRow row{{-6.0, -6.0, -6.0}, {1.0, 2.0, 0.5}, 6.0};
  const PolynomialTable table = engines::make_table(6.0, 1);
  const RowTruth truth = truth_of_row(row, 1);
  const RowCertificate certificate = certify(row, truth, table, 1e-15, [](int) { return 0.0; });
  EXPECT_GT(certificate.denominator_low, 0.999 * static_cast<double>(truth.denominator));
  EXPECT_LE(certificate.denominator_low, static_cast<double>(truth.denominator));
}

TEST(RowCertificate, WithoutAnyBoundTheRowIsRefused) {
  const ScoreRow row{{1.0, -1.0}, {1.0, 1.0}, 1.0};
  const PolynomialTable table = engines::make_table(1.0, 2);
  const RowTruth truth = truth_of_row(row, 2);
  RowCertificate certificate = certify(row, truth, table, kInfinity, [](int) { return 0.0; });
  EXPECT_FALSE(certificate.denominator_low > 0.0) << "no rounding bound";
  RowTruth poisoned = truth;
  poisoned.moments[1] = std::numeric_limits<long double>::quiet_NaN();
  certificate = certify(row, poisoned, table, 1e-15, [](int) { return 0.0; });
  EXPECT_FALSE(certificate.denominator_low > 0.0 && std::isfinite(certificate.denominator));
}

}  // namespace
}  // namespace polyattn::test
