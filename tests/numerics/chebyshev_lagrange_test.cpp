#include "numerics/chebyshev_lagrange.hpp"

#include "axis_oracle.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <vector>

namespace polyattn::test {
namespace {

constexpr double kU = 0x1p-53;

std::size_t size_of(int p) { return static_cast<std::size_t>(p); }

TEST(ChebyshevNodes, AreTheZerosInIncreasingOrder) {
  for (int p = 1; p <= numerics::kMaxNodes; ++p) {
    const std::vector<double> x = numerics::chebyshev_nodes(p);
    ASSERT_EQ(x.size(), size_of(p));
    const std::vector<Quad> exact = axis::nodes(p);
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_LE(axis::magnitude(static_cast<Quad>(x[i]) - exact[i]),
                static_cast<Quad>(numerics::kCoefficientError * kU));
      EXPECT_EQ(x[i], -x[size_of(p) - 1 - i]);
      if (i > 0) {
        EXPECT_LT(x[i - 1], x[i]);
      }
    }
  }
  EXPECT_EQ(numerics::chebyshev_nodes(5)[2], 0.0);
}

TEST(LagrangeCoefficients, AreRoundedOnce) {
  for (const int p : {1, 2, 3, 7, 8, 16, 33, 64}) {
    const std::vector<double> c = numerics::lagrange_coefficients(p);
    ASSERT_EQ(c.size(), size_of(p) * size_of(p));
    for (int k = 0; k < p; ++k) {
      for (int j = 0; j < p; ++j) {
        const Quad exact =
            axis::cosine((k * (2 * (p - 1 - j) + 1)) % (4 * p), 2 * p) * (k == 0 ? 1 : 2) / static_cast<Quad>(p);
        const Quad error = axis::magnitude(static_cast<Quad>(c[size_of(k * p + j)]) - exact);
        EXPECT_LE(error, static_cast<Quad>(numerics::kCoefficientError * kU * 2.0 / p)) << p << ' ' << k << ' ' << j;
      }
    }
  }
}

TEST(LebesgueConstant, IsAttainedAtTheEndsAndNeverExceeded) {
  for (const int p : {1, 2, 3, 5, 8, 13, 16, 24, 40}) {
    const double constant = numerics::lebesgue_constant(p);
    const std::vector<Quad> x = axis::nodes(p);
    const auto sum_at = [&](Quad z) {
      Quad sum = 0;
      for (const Quad l : axis::lagrange(x, z)) sum += axis::magnitude(l);
      return static_cast<double>(sum);
    };
    EXPECT_LE(sum_at(1), constant);
    EXPECT_GE(sum_at(1), constant * (1.0 - 1e-12));
    for (int a = 0; a <= 400; ++a) EXPECT_LE(sum_at(static_cast<Quad>(-1.0 + a / 200.0)), constant);
    EXPECT_LE(constant, 2.0 / std::numbers::pi * std::log(p) + 1.0 + 1e-12);  // Rivlin
  }
}

// How far the values at x are from the exact ones, in units of roundoff: the largest of them, and their sum.
struct Distance {
  double largest = 0.0, sum = 0.0;
};

Distance distance(const std::vector<double>& coefficients, const std::vector<Quad>& nodes, double x) {
  std::vector<double> values(nodes.size());
  numerics::lagrange_values(coefficients, x, values);
  const std::vector<Quad> exact = axis::lagrange(nodes, static_cast<Quad>(x));
  Distance result;
  for (std::size_t j = 0; j < values.size(); ++j) {
    const double error = static_cast<double>(axis::magnitude(static_cast<Quad>(values[j]) - exact[j])) / kU;
    if (!(error <= result.largest)) result.largest = error;
    result.sum += error;
  }
  return result;
}

// Attacked by random points, the ends, zeros, nodes and their neighbours, then by small changes of the worst of them.
TEST(LagrangeValues, AreWithinTheirRoundingBounds) {
  for (const int p : {1, 2, 3, 4, 6, 8, 12, 16, 32, 64}) {
    Random random(static_cast<std::uint64_t>(p));
    const std::vector<double> coefficients = numerics::lagrange_coefficients(p);
    const std::vector<Quad> nodes = axis::nodes(p);
    std::vector<double> points = {1.0, -1.0, 0.0, 0x1p-1074, std::nextafter(1.0, 0.0), 0.5, 1e-9, 1.0 - 1e-9};
    for (const double x : numerics::chebyshev_nodes(p)) {
      points.insert(points.end(), {x, std::nextafter(x, 2.0), std::nextafter(x, -2.0)});
    }
    for (int k = 0; k < 300; ++k)
      points.push_back(random.chance(0.5) ? random.uniform(-1.0, 1.0)
                                          : random.sign() * (1.0 - random.log_uniform(1e-16, 0.1)));
    Distance worst;
    double worst_point = 0.0;
    const auto look = [&](double x) {
      const Distance here = distance(coefficients, nodes, x);
      ASSERT_LE(here.largest, numerics::lagrange_rounding(p)) << p << ' ' << x;
      ASSERT_LE(here.sum, numerics::lagrange_rounding_sum(p)) << p << ' ' << x;
      worst.largest = std::max(worst.largest, here.largest);
      if (here.sum > worst.sum) {
        worst.sum = here.sum;
        worst_point = x;
      }
    };
    for (const double x : points) look(x);
    for (int k = 0; k < 300; ++k) {
      const double moved = worst_point * (1.0 + random.sign() * random.log_uniform(1e-16, 1e-2));
      look(std::clamp(moved, -1.0, 1.0));
    }
    std::printf("p = %2d: %6.1f of %6.1f u, sum %6.1f of %6.1f u\n", p, worst.largest, numerics::lagrange_rounding(p),
                worst.sum, numerics::lagrange_rounding_sum(p));
    if (p > 1) {
      EXPECT_GT(worst.sum, 0.02 * numerics::lagrange_rounding_sum(p));
    }
  }
}

// Interpolation of polynomials of degree below p is exact; the constant is the partition of unity.
TEST(LagrangeValues, ReproducePolynomials) {
  Random random(5);
  for (const int p : {1, 2, 5, 8, 16}) {
    const std::vector<double> coefficients = numerics::lagrange_coefficients(p);
    const std::vector<Quad> nodes = axis::nodes(p);
    std::vector<double> values(size_of(p));
    for (int trial = 0; trial < 50; ++trial) {
      const double x = random.uniform(-1.0, 1.0);
      numerics::lagrange_values(coefficients, x, values);
      for (int degree = 0; degree < p; ++degree) {
        Quad sum = 0, exact = 1;
        for (int k = 0; k < degree; ++k) exact *= static_cast<Quad>(x);
        for (std::size_t j = 0; j < nodes.size(); ++j) {
          Quad power = 1;
          for (int k = 0; k < degree; ++k) power *= nodes[j];
          sum += power * static_cast<Quad>(values[j]);
        }
        EXPECT_LE(static_cast<double>(axis::magnitude(sum - exact)), numerics::lagrange_rounding_sum(p) * kU);
      }
    }
  }
}

// Slopes by differences in the wide type, which are averages of the slope and so below its bound.
TEST(LagrangeSlope, IsAboveWhatDifferencesShow) {
  for (const int p : {1, 2, 3, 5, 8, 16}) {
    const std::vector<Quad> nodes = axis::nodes(p);
    double largest = 0.0, largest_sum = 0.0;
    const auto step = static_cast<Quad>(0x1p-20);
    for (int a = 0; a <= 200; ++a) {
      const Quad x = static_cast<Quad>(-1.0 + a / 100.0) * (1 - step);
      const std::vector<Quad> below = axis::lagrange(nodes, x - step * (x + 1)),
                              above = axis::lagrange(nodes, x + step * (1 - x));
      Quad sum = 0;
      for (std::size_t j = 0; j < nodes.size(); ++j) {
        const Quad slope = axis::magnitude(above[j] - below[j]) / (2 * step);
        sum += slope;
        largest = std::max(largest, static_cast<double>(slope));
      }
      largest_sum = std::max(largest_sum, static_cast<double>(sum));
    }
    EXPECT_LE(largest, numerics::lagrange_slope(p) + 1e-9);
    EXPECT_LE(largest_sum, numerics::lagrange_slope_sum(p) + 1e-9);
    EXPECT_GE(largest_sum, 0.3 * numerics::lagrange_slope_sum(p));
  }
}

}  // namespace
}  // namespace polyattn::test
