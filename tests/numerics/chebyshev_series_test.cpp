#include "numerics/chebyshev_series.hpp"

#include "numerics/exp_polynomial_table.hpp"
#include "support/quad.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace polyattn::test {
namespace {

using numerics::chebyshev_series;
using numerics::ChebyshevSeries;

TEST(ChebyshevSeries, OfExpIsBessel) {
  for (const Bessel& row : kBessel) {
    const ChebyshevSeries series = chebyshev_series(row.radius, 0, row.k + 1);
    const double b = std::ldexp(series.beta(row.k).hi, row.k * std::ilogb(series.scale));
    // The series is cut where its rest is at most 2^-20 of the first dropped coefficient, or 2^-64 of exp(R).
    const double cut = series.neglected;
    EXPECT_LE(std::fabs(b - 2.0 * row.value), 4.0 * 0x1p-53 * row.value + cut) << row.radius << " " << row.k;
    EXPECT_GE(series.terms, row.k + 2);
  }
}

// sum' b_k = f(R), to the precision of Pairs.
TEST(ChebyshevSeries, CoefficientsSumToTheValueAtTheRadius) {
  for (const double radius : {1e-40, 1e-5, 0.3, 1.0, 7.0, 40.0, 300.0}) {
    for (const int q : {0, 1, 2, 5, 20}) {
      const ChebyshevSeries series = chebyshev_series(radius, q, 30);
      Quad sum = 0;
      for (int k = series.terms; k >= 0; --k) {
        const Quad beta = static_cast<Quad>(series.beta(k).hi) + static_cast<Quad>(series.beta(k).lo);
        EXPECT_GT(beta, 0);
        sum = sum * static_cast<Quad>(series.scale) + (k == 0 ? beta / 2 : beta);
      }
      Quad direct = 1;
      Quad term = 1;
      for (int n = 1; n <= series.terms; ++n) {
        term *= static_cast<Quad>(radius) / (n + 2 * q);
        direct += term;
      }
      const Quad difference = sum < direct ? direct - sum : sum - direct;
      // 4 terms kPair for the series, and 2 terms + 2 roundings of the sums here.
      EXPECT_LE(difference, direct * (4 * series.terms) * static_cast<Quad>(numerics::kPair)) << radius << " " << q;
      // And the rest of the power series is below `neglected`.
      Quad rest = 0;
      for (int n = series.terms + 1; n <= series.terms + 2000; ++n) {
        term *= static_cast<Quad>(radius) / (n + 2 * q);
        rest += term;
      }
      EXPECT_LE(rest, static_cast<Quad>(series.neglected)) << radius << " " << q;
    }
  }
}

TEST(ChebyshevSeries, TailIsRoundedUp) {
  for (const double radius : {1e-3, 1.0, 12.0}) {
    const ChebyshevSeries series = chebyshev_series(radius, 1, 10);
    for (int degree = 0; degree <= 10; ++degree) {
      Quad sum = 0;
      for (int k = series.terms; k > degree; --k) {
        sum = sum * static_cast<Quad>(series.scale) + static_cast<Quad>(series.beta(k).hi) +
              static_cast<Quad>(series.beta(k).lo);
      }
      for (int k = 0; k <= degree; ++k) sum *= static_cast<Quad>(series.scale);
      const Quad computed = static_cast<Quad>(numerics::tail(series, degree));
      EXPECT_GE(computed, sum);
      EXPECT_LE(computed, sum * (1 + static_cast<Quad>(1e-12)));
    }
  }
}

}  // namespace
}  // namespace polyattn::test
