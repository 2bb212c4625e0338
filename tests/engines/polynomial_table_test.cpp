#include "engines/polynomial/table.hpp"

#include "support/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

using engines::make_table;
using engines::PolynomialTable;
using engines::TableEntry;

/// A radius at least r, and not needlessly large: at most two steps of the ladder above it, or its last.
void expect_class(const PolynomialTable& table, double r) {
  const std::size_t row_class = table.row_class(r);
  ASSERT_LT(row_class, table.radii.size());
  ASSERT_GE(table.radii[row_class], r) << "of " << table.radii.front();
  const bool last = row_class + 1 == table.radii.size();
  ASSERT_TRUE(last || table.radii[row_class] <= r * std::exp2(2.0 / table.steps)) << r << " of " << table.radii.front();
}

TEST(PolynomialTable, EveryRowGetsARadiusAboveItsOwn) {
  Random random(1);
  for (const double radius : {1e-300, 1e-9, 0.37, 1.0, 5.4, 20.0, 300.0}) {
    for (const int steps : {1, 2, engines::kLadderSteps}) {
      const PolynomialTable table = make_table(radius, 1, steps);
      ASSERT_EQ(table.radii.front(), radius);
      ASSERT_EQ(static_cast<int>(table.radii.size()), steps * engines::kLadderOctaves + 1);
      for (std::size_t i = 1; i < table.radii.size(); ++i) {
        ASSERT_LT(table.radii[i], table.radii[i - 1]);
      }
      for (const double step : table.radii) {
        expect_class(table, step);
        expect_class(table, std::nextafter(step, 0.0));
        if (step < radius) {
          expect_class(table, std::nextafter(step, radius));
        }
      }
      for (int i = 0; i < 2000; ++i) {
        expect_class(table, radius * (i % 2 == 0 ? random.unit() : std::exp2(-12.0 * random.unit())));
      }
      expect_class(table, 0.0);
      expect_class(table, std::numeric_limits<double>::denorm_min());
    }
  }
}

TEST(PolynomialTable, RadiusZeroIsOneExactPolynomial) {
  const PolynomialTable table = make_table(0.0, 4);
  ASSERT_EQ(table.radii.size(), 1U);
  EXPECT_EQ(table.row_class(0.0), 0U);
  for (const TableEntry& entry : table.entries[0]) {
    EXPECT_EQ(entry.uniform, 0.0);
    EXPECT_EQ(entry.coefficients[0], 1.0);
  }
}

TEST(PolynomialTable, AnEntryForEveryEvenMomentOfTheDegree) {
  for (const int degree : {0, 1, 2, 5, 6}) {
    const PolynomialTable table = make_table(1.5, degree);
    ASSERT_EQ(table.entries.size(), table.radii.size());
    for (const auto& row : table.entries) {
      ASSERT_EQ(static_cast<int>(row.size()), degree / 2 + 1);
      for (std::size_t q = 0; q < row.size(); ++q) {
        EXPECT_EQ(row[q].q, static_cast<int>(q));
        EXPECT_EQ(static_cast<int>(row[q].coefficients.size()), degree + 1);
      }
    }
  }
}

// In long double, whose own rounding is some 2^-64 of sum |c_t| R^t.
TEST(PolynomialTable, EntriesAreAsCloseToExpAsTheySay) {
  constexpr int kPoints = 400;
  for (const double radius : {0.01, 0.5, 2.0, 6.0}) {
    for (const int degree : {0, 1, 2, 4, 7, 10}) {
      const PolynomialTable table = make_table(radius, degree, 2);
      for (std::size_t step = 0; step < table.radii.size(); ++step) {
        for (const TableEntry& entry : table.entries[step]) {
          double attained = 0.0;
          for (int i = -kPoints; i <= kPoints; ++i) {
            const double x = table.radii[step] * i / kPoints;
            long double value = 0.0L;
            long double absolute = 0.0L;
            for (std::size_t t = entry.coefficients.size(); t-- > 0;) {
              value = value * static_cast<long double>(x) + static_cast<long double>(entry.coefficients[t]);
              absolute = absolute * std::fabs(static_cast<long double>(x)) +
                         std::fabs(static_cast<long double>(entry.coefficients[t]));
            }
            const long double error = std::fabs(value - std::exp(static_cast<long double>(x)));
            const long double doubt = 40.0L * 0x1p-64L * (absolute + std::exp(static_cast<long double>(x)));
            const long double power = std::pow(static_cast<long double>(x), 2 * entry.q);
            const long double moment =
                static_cast<long double>(entry.moment_error) * power + static_cast<long double>(entry.slack);
            ASSERT_LE(error, static_cast<long double>(entry.uniform) + doubt)
                << "R " << table.radii[step] << ", q " << entry.q;
            ASSERT_LE(error, moment + doubt) << "R " << table.radii[step] << ", q " << entry.q << ", x " << x;
            attained =
                std::max(attained, static_cast<double>((error + doubt) / static_cast<long double>(entry.uniform)));
          }
          if (entry.uniform > 1e-10) {  // below, the rounding of the coefficients counts
            EXPECT_GE(attained, 0.999) << "the error is attained at x = R: the bound says no more than it must";
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace polyattn::test
