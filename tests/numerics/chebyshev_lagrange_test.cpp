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

/// T_0 ... T_{p-1} at x, by the recurrence in the widest arithmetic.
std::vector<Quad> chebyshev(int p, Quad x) {
  std::vector<Quad> t{1, x};
  while (t.size() < size_of(p)) t.push_back(2 * x * t[t.size() - 1] - t[t.size() - 2]);
  t.resize(size_of(p));
  return t;
}

/// What a cosine in long double may be off by; that of the oracle, a series with terms of up to e^(2 pi), is off by
/// less than 2^14 units of its own type.
double cosine_error() { return numerics::kCosineError * kUnitRoundoff<long double> + 0x1p14 * kUnitRoundoff<Quad>; }

TEST(ChebyshevNodes, AreTheZerosInIncreasingOrder) {
  for (int p = 1; p <= 64; ++p) {
    const std::vector<long double> x = numerics::chebyshev_nodes(p);
    ASSERT_EQ(x.size(), size_of(p));
    const std::vector<Quad> exact = axis::nodes(p);
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_LE(axis::magnitude(static_cast<Quad>(x[i]) - exact[i]), static_cast<Quad>(cosine_error()));
      EXPECT_EQ(x[i], -x[size_of(p) - 1 - i]);
      if (i > 0) {
        EXPECT_LT(x[i - 1], x[i]);
      }
    }
  }
  EXPECT_EQ(numerics::chebyshev_nodes(5)[2], 0.0L);
}

TEST(LagrangeCoefficients, AreChebyshevPolynomialsAtTheNodes) {
  for (const int p : {1, 2, 3, 7, 8, 16, 33, 64}) {
    const std::vector<long double> c = numerics::lagrange_coefficients(p);
    ASSERT_EQ(c.size(), size_of(p) * size_of(p));
    const double bound = 2.0 / p * (cosine_error() + kUnitRoundoff<long double>);
    for (int k = 0; k < p; ++k) {
      for (int j = 0; j < p; ++j) {
        const Quad exact =
            axis::cosine((k * (2 * (p - 1 - j) + 1)) % (4 * p), 2 * p) * (k == 0 ? 1 : 2) / static_cast<Quad>(p);
        EXPECT_LE(axis::magnitude(static_cast<Quad>(c[size_of(k * p + j)]) - exact), static_cast<Quad>(bound))
            << p << ' ' << k << ' ' << j;
      }
    }
  }
}

// Coefficients as above, T_k moved by at most k^2 times what the nodes are off by: 2 bound sum_k (1 + k^2)/p.
TEST(LagrangeCoefficients, AreOneAtTheirNodesAndZeroAtTheOthers) {
  for (const int p : {1, 2, 5, 8, 16, 33}) {
    const std::vector<long double> c = numerics::lagrange_coefficients(p);
    const std::vector<long double> x = numerics::chebyshev_nodes(p);
    const double each = cosine_error() + kUnitRoundoff<long double>;
    const double bound = 2.0 * each * (1.0 + (p - 1.0) * (2.0 * p - 1.0) / 6.0) * (1.0 + 1e-9);
    for (int i = 0; i < p; ++i) {
      const std::vector<Quad> t = chebyshev(p, static_cast<Quad>(x[size_of(i)]));
      for (int j = 0; j < p; ++j) {
        Quad sum = i == j ? -1 : 0;
        for (int k = 0; k < p; ++k) sum += static_cast<Quad>(c[size_of(k * p + j)]) * t[size_of(k)];
        EXPECT_LE(static_cast<double>(axis::magnitude(sum)), bound) << p << ' ' << i << ' ' << j;
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

/// The largest error of T_0 ... T_{p-1} at x in float64, as the kernels have them, in units of roundoff.
double error_at(int p, double x) {
  const std::vector<Quad> exact = chebyshev(p, static_cast<Quad>(x));
  double before = 1.0, now = x, largest = 0.0;
  for (int k = 1; k < p; ++k) {
    const double error = static_cast<double>(axis::magnitude(static_cast<Quad>(now) - exact[size_of(k)])) / kU;
    if (!(error <= largest)) largest = error;
    const double next = std::fma(2.0 * x, now, -before);
    before = now;
    now = next;
  }
  return largest;
}

// Attacked by random points, the ends, zeros, nodes and their neighbours, then by small changes of the worst of them.
TEST(ChebyshevRounding, IsNotExceeded) {
  for (const int p : {1, 2, 3, 4, 6, 8, 12, 16, 32, 64}) {
    Random random(static_cast<std::uint64_t>(p));
    std::vector<double> points = {1.0, -1.0, 0.0, 0x1p-1074, std::nextafter(1.0, 0.0), 0.5, 1e-9, 1.0 - 1e-9};
    for (const long double node : numerics::chebyshev_nodes(p)) {
      const auto x = static_cast<double>(node);
      points.insert(points.end(), {x, std::nextafter(x, 2.0), std::nextafter(x, -2.0)});
    }
    for (int k = 0; k < 1000; ++k)
      points.push_back(random.chance(0.5) ? random.uniform(-1.0, 1.0)
                                          : random.sign() * (1.0 - random.log_uniform(1e-16, 0.1)));
    double worst = 0.0, worst_point = 0.0;
    const auto look = [&](double x) {
      const double here = error_at(p, x);
      ASSERT_LE(here, numerics::chebyshev_rounding(p)) << p << ' ' << x;
      if (here > worst) {
        worst = here;
        worst_point = x;
      }
    };
    for (const double x : points) look(x);
    for (int k = 0; k < 1000; ++k) {
      const double moved = worst_point * (1.0 + random.sign() * random.log_uniform(1e-16, 1e-2));
      look(std::clamp(moved, -1.0, 1.0));
    }
    std::printf("p = %2d: %7.2f of %7.2f u\n", p, worst, numerics::chebyshev_rounding(p));
    if (p > 2) {
      EXPECT_GT(worst, 0.1 * numerics::chebyshev_rounding(p));
    }
  }
}

}  // namespace
}  // namespace polyattn::test
