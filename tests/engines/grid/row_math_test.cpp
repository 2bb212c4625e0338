// Certificates of rows in lanes against their scalar twin, on every instruction set: numbers that are not finite refuse
// a row in both.

#include "engines/grid/row_math.hpp"

#include "engines/grid/row_bounds.hpp"
#include "engines/polynomial/row_outputs.hpp"
#include "simd/dispatch.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace polyattn::engines::grid {
namespace {

using polyattn::test::Random;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kRows = 64;

struct Sums {
  ColumnKnots knots;
  std::vector<double> sums, charges, own, reach;
  std::int64_t columns = 0;
};

Sums draw(std::uint64_t seed) {
  Random random(seed);
  Sums out;
  out.columns = random.integer(0, 3);
  for (std::int64_t c = 0; c < out.columns; ++c) {
    const double centre = random.normal();
    out.knots.centre.push_back(centre);
    out.knots.low.push_back(random.chance(0.1) ? centre : centre - random.unit());
    out.knots.high.push_back(random.chance(0.1) ? centre : centre + random.unit());
  }
  const auto fill = [&](std::vector<double>& to, std::int64_t channels, double size, bool positive) {
    for (std::int64_t i = 0; i < channels * kRows; ++i) {
      to.push_back(size * (positive ? random.log_uniform(1e-3, 1.0) : random.uniform(-1.0, 1.0)));
    }
  };
  fill(out.sums, 1 + out.columns, 1.0, false);
  for (std::int64_t i = 0; i < kRows; ++i) {
    double& d = out.sums[base::usize(i)];
    d = random.chance(0.1) ? (random.chance(0.5) ? 0.0 : -1.0) : std::fabs(d) + 0.01;
  }
  fill(out.charges, 1 + 3 * out.columns, random.log_uniform(1e-12, 1e-1), true);
  fill(out.own, 1 + out.columns, 1.0, false);
  fill(out.reach, 1, 1.0, true);
  for (double& x : out.sums) {
    const double none[] = {std::numeric_limits<double>::quiet_NaN(), kInfinity, -kInfinity, 1e308};
    x = random.chance(0.01) ? none[random.integer(0, 3)] : x;
  }
  for (double& x : out.charges) {
    x = random.chance(0.005) ? (random.chance(0.5) ? kInfinity : std::numeric_limits<double>::quiet_NaN()) : x;
  }
  return out;
}

TEST(GridRows, LanesCertifyWhatTheirScalarTwinDoes) {
  std::int64_t answered = 0;
  std::int64_t refused = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const Sums s = draw(seed);
    Random random(seed + 1000000);
    RowRules rules{s.knots};
    rules.rounding = random.log_uniform(1e-14, 1e-8);
    rules.range = 2.0;
    rules.largest_value = 4.0;
    rules.perturbation = random.log_uniform(1e-16, 1e-6);
    const RowBatch batch{s.sums.data(),
                         s.charges.data(),
                         seed % 2 == 0 ? s.own.data() : nullptr,
                         s.reach.data(),
                         0.0,
                         seed % 3 == 0 ? 1e-9 : 0.0,
                         kRows,
                         kRows};
    const std::int64_t width = s.columns + 2;
    std::vector<double> expected(base::usize(kRows * width));
    certify_batch(rules, batch, expected.data(), width);
    for (const simd::KernelTable* table : simd::available()) {
      std::vector<double> out(base::usize(kRows * width));
      table->grid.certify({batch.sums, batch.charges, batch.own, batch.reach, s.knots.low.data(), s.knots.centre.data(),
                           s.knots.high.data(), s.columns, kRows, kRows, rules.rounding, batch.outside, kLostMass,
                           rules.range * score_movement(rules.perturbation), kAnswerRounding, rules.largest_value,
                           out.data()});
      for (std::int64_t i = 0; i < kRows; ++i) {
        const double* twin = expected.data() + i * width;
        const auto bound = [&](std::int64_t c) { return out[base::usize(c * kRows + i)]; };
        const bool there = std::isfinite(twin[s.columns] + twin[s.columns + 1]);
        // Lanes may overflow where the twin just does not.
        const bool in_lanes = std::isfinite(bound(s.columns) + bound(s.columns + 1));
        ASSERT_TRUE(in_lanes == there || (there && twin[s.columns] + twin[s.columns + 1] > 1e290))
            << table->name << ' ' << seed << ' ' << i;
        answered += there ? 1 : 0;
        refused += there ? 0 : 1;
        for (std::int64_t c = 0; in_lanes && c < width; ++c) {
          ASSERT_TRUE(std::isfinite(bound(c)));
          // The same formulas, summed in another order.
          ASSERT_LE(std::fabs(bound(c) - twin[c]), 1e-14 * (std::fabs(twin[c]) + (c < s.columns ? 4.0 : 0.0)))
              << table->name << ' ' << seed;
        }
      }
    }
  }
  EXPECT_GT(answered, 10 * 300);
  EXPECT_GT(refused, 300);
}

TEST(GridRows, ABatchWithoutCertainDenominatorsIsRefused) {
  const ColumnKnots knots{{-1.0}, {0.0}, {1.0}};
  const RowRules rules{knots, 1e-12, 2.0, 1.0, 0.0, false};
  const double reach[] = {1.0, 1.0};
  for (const double outside : {0.0, 0.4, 0.6, kInfinity, std::numeric_limits<double>::quiet_NaN()}) {
    const double sums[] = {0.5, 0.1};
    const double charges[] = {1e-6, 1e-6, 1e-6, 1e-6};
    double out[3];
    certify_batch(rules, {sums, charges, nullptr, reach, 0.0, outside, 1, 1}, out, 3);
    EXPECT_EQ(std::isfinite(out[1]), outside < 0.5) << outside;
  }
}

}  // namespace
}  // namespace polyattn::engines::grid
