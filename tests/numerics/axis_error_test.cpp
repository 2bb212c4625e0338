#include "numerics/axis_error.hpp"

#include "axis_oracle.hpp"
#include "numerics/chebyshev_lagrange.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

using numerics::axis_error;
using numerics::axis_peak;

struct Case {
  int p;
  double rho;
  int offset, sub_bins, query_bin, key_bin;
};

double error_of(const Case& c) { return axis_error(c.p, c.rho, c.offset, c.sub_bins, c.query_bin, c.key_bin); }
double peak_of(const Case& c) { return axis_peak(c.rho, c.offset, c.sub_bins, c.query_bin, c.key_bin); }

// The largest |E| found by a look at a grid of points, ends included, and a climb from the best of them.
class Climb {
 public:
  explicit Climb(const Case& c) : c_(c), error_(c.p, c.rho, c.offset) {}

  double operator()(int points, int steps) {
    Quad best = -1, z = 0, y = 0;
    for (int a = 0; a <= points; ++a) {
      for (int b = 0; b <= points; ++b) {
        try_point(static_cast<Quad>(-1.0 + 2.0 * a / points), static_cast<Quad>(-1.0 + 2.0 * b / points), best, z, y);
      }
    }
    auto step = static_cast<Quad>(2.0 / points);
    for (int k = 0; k < steps; ++k) {
      const Quad before = best;
      const Quad z0 = z, y0 = y;
      for (int dz = -1; dz <= 1; ++dz) {
        for (int dy = -1; dy <= 1; ++dy)
          try_point(z0 + static_cast<Quad>(dz) * step, y0 + static_cast<Quad>(dy) * step, best, z, y);
      }
      if (!(best > before)) step /= 2;
    }
    return static_cast<double>(best);
  }

 private:
  void try_point(Quad z, Quad y, Quad& best, Quad& best_z, Quad& best_y) const {
    z = std::min<Quad>(1, std::max<Quad>(-1, z));
    y = std::min<Quad>(1, std::max<Quad>(-1, y));
    const Quad value = axis::magnitude(error_(inside(z, c_.query_bin), inside(y, c_.key_bin)));
    if (value > best) {
      best = value;
      best_z = z;
      best_y = y;
    }
  }
  [[nodiscard]] Quad inside(Quad z, int bin) const {
    return (static_cast<Quad>(2 * bin + 1 - c_.sub_bins) + z) / static_cast<Quad>(c_.sub_bins);
  }

  Case c_;
  axis::Error error_;
};

Case random_case(Random& random) {
  Case c{};
  c.p = static_cast<int>(random.integer(1, 16));
  c.rho = random.chance(0.7) ? random.uniform(0.5, 2.0) : random.log_uniform(0.05, 4.0);
  c.offset =
      static_cast<int>(random.integer(0, std::min<std::int64_t>(14, static_cast<std::int64_t>(1.0 + 6.5 / c.rho))));
  if (random.chance(0.3)) c.offset = -c.offset;
  c.sub_bins = 1 << random.integer(0, 2);
  c.query_bin = static_cast<int>(random.integer(0, c.sub_bins - 1));
  c.key_bin = static_cast<int>(random.integer(0, c.sub_bins - 1));
  return c;
}

TEST(AxisError, IsAboveTheLargestErrorFoundAndNearIt) {
  Random random(1);
  double least = 100.0, most = 0.0, sum = 0.0;
  int counted = 0;
  for (int trial = 0; trial < 60; ++trial) {
    const Case c = random_case(random);
    const double bound = error_of(c);
    const double found = Climb(c)(24, 40);
    ASSERT_LE(found, bound) << c.p << ' ' << c.rho << ' ' << c.offset << ' ' << c.sub_bins;
    if (bound < 2e-14 * peak_of({c.p, c.rho, c.offset, 1, 0, 0})) continue;  // rounding shows
    ++counted;
    least = std::min(least, bound / found);
    most = std::max(most, bound / found);
    sum += bound / found;
  }
  ASSERT_GT(counted, 40);
  // 1.0396 (1.01 + 1e-2) and less than half as much again for maxima the climb misses.
  EXPECT_GE(least, 1.0);
  EXPECT_LE(most, 1.1);
  std::printf("bound / largest found: %.4f to %.4f, mean %.4f over %d\n", least, most, sum / counted, counted);
}

TEST(AxisError, HoldsWhereRoundingShows) {
  for (const int p : {14, 16}) {
    for (const double rho : {0.125, 0.5, 0.7}) {
      for (const int offset : {0, 1, 4}) {
        const Case c{p, rho, offset, 1, 0, 0};
        EXPECT_LE(Climb(c)(16, 20), error_of(c));
        EXPECT_LE(error_of(c), 2e-14 * peak_of(c) + 1.1 * Climb(c)(16, 20));
      }
    }
  }
}

// One node a cell: kappa~ is constant, E is known.
TEST(AxisError, IsTheClosedFormForOneNode) {
  for (const double rho : {0.25, 1.0, 2.0}) {
    EXPECT_GE(axis_error(1, rho, 0, 1, 0, 0), -std::expm1(-rho * rho));
    EXPECT_LE(axis_error(1, rho, 0, 1, 0, 0), -1.07 * std::expm1(-rho * rho));
    const double near = std::exp(-rho * rho), next = 1.0 - near;  // touching cells: kappa~ = exp(-rho^2)
    EXPECT_GE(axis_error(1, rho, 1, 1, 0, 0), next);
    EXPECT_LE(axis_error(1, rho, 1, 1, 0, 0), 1.07 * std::max(next, near));
  }
}

TEST(AxisError, IsSymmetric) {
  Random random(2);
  for (int trial = 0; trial < 10; ++trial) {
    Case c = random_case(random);
    c.p = std::min(c.p, 10);
    const double bound = error_of(c);
    const Case interchanged{c.p, c.rho, -c.offset, c.sub_bins, c.key_bin, c.query_bin};
    const Case reflected{c.p, c.rho, -c.offset, c.sub_bins, c.sub_bins - 1 - c.query_bin, c.sub_bins - 1 - c.key_bin};
    const double noise = 1e-6 * bound + 1e-14 * peak_of({c.p, c.rho, c.offset, 1, 0, 0});
    EXPECT_NEAR(error_of(interchanged), bound, noise);
    EXPECT_NEAR(error_of(reflected), bound, noise);
    EXPECT_EQ(peak_of(interchanged), peak_of(c));
    EXPECT_EQ(peak_of(reflected), peak_of(c));
  }
}

// A sub-bin is part of its cell, so its true error is at most the cell's bound; and the largest of them is the cell's.
TEST(AxisError, OfSubBinsMakesUpThatOfTheCell) {
  for (const int s : {2, 4, 8}) {
    for (const int offset : {0, 1, 3}) {
      const double whole = axis_error(6, 1.0, offset, 1, 0, 0);
      double largest = 0.0;
      for (int i = 0; i < s; ++i) {
        for (int j = 0; j < s; ++j) largest = std::max(largest, axis_error(6, 1.0, offset, s, i, j));
      }
      EXPECT_LE(largest, 1.06 * whole);
      EXPECT_GE(largest, whole / 1.06);
    }
  }
}

TEST(AxisPeak, IsTheKernelAtTheNearestPoints) {
  EXPECT_EQ(axis_peak(1.0, 0, 1, 0, 0), 1.0);
  EXPECT_EQ(axis_peak(1.0, 1, 4, 0, 3), 1.0);
  EXPECT_EQ(axis_peak(1.0, -1, 4, 3, 0), 1.0);
  Random random(3);
  for (int trial = 0; trial < 1000; ++trial) {
    const Case c = random_case(random);
    const double z = random.uniform(-1.0, 1.0), y = random.uniform(-1.0, 1.0);
    const double v =
        c.rho * (c.offset +
                 ((2 * c.query_bin + 1 - c.sub_bins + z) - (2 * c.key_bin + 1 - c.sub_bins + y)) / (2.0 * c.sub_bins));
    EXPECT_GE(peak_of(c) * (1.0 + 1e-13), std::exp(-v * v));
    const int apart = std::max(0, std::abs(c.offset * c.sub_bins + c.query_bin - c.key_bin) - 1);
    const Quad gap = static_cast<Quad>(c.rho) * static_cast<Quad>(apart) / static_cast<Quad>(c.sub_bins);
    EXPECT_GE(static_cast<Quad>(peak_of(c)), exp_of(-gap * gap));
    EXPECT_LE(peak_of(c), static_cast<double>(exp_of(-gap * gap)) * (1.0 + 1e-11));
  }
  EXPECT_GT(axis_peak(4.0, 1000, 1, 0, 0), 0.0);
}

// Section 3 of the proof: against interpolation errors of the Gaussian as they are.
TEST(GaussianInterpolationError, IsAboveTheErrorOfInterpolation) {
  Random random(4);
  double worst = 0.0;
  for (int trial = 0; trial < 400; ++trial) {
    const int n = static_cast<int>(random.integer(1, 24));
    const double side = random.log_uniform(0.1, 4.0), gap = random.chance(0.2) ? 0.0 : random.uniform(0.0, 9.0);
    const double bound = numerics::gaussian_interpolation_error(n, side, gap);
    const std::vector<Quad> x = axis::nodes(n);
    const auto f = [&](Quad z, double away) {
      const Quad v = static_cast<Quad>(gap + away) + (1 + z) * static_cast<Quad>(side) / 2;
      return exp_of(-v * v);
    };
    Quad largest = 0;
    for (const double away : {0.0, random.uniform(0.0, 2.0)}) {
      for (int a = 0; a <= 40; ++a) {
        const Quad z = static_cast<Quad>(-1.0 + a / 20.0);
        const std::vector<Quad> l = axis::lagrange(x, z);
        Quad sum = -f(z, away);
        for (std::size_t i = 0; i < x.size(); ++i) sum += l[i] * f(x[i], away);
        largest = std::max(largest, axis::magnitude(sum));
      }
    }
    ASSERT_LE(static_cast<double>(largest), bound + 1e-17) << n << ' ' << side << ' ' << gap;
    if (static_cast<double>(largest) > 1e-12) worst = std::max(worst, static_cast<double>(largest) / bound);
  }
  EXPECT_GT(worst, 0.05);
  std::printf("largest error / bound: %.3f\n", worst);
}

}  // namespace
}  // namespace polyattn::test
