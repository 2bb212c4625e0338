#include "numerics/axis_error.hpp"

#include "numerics/chebyshev_lagrange.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <vector>

// E = kappa~ - kappa is looked at on (S + 1)^2 points of the two sub-bins. On these it is within r of a polynomial P of
// degree N in each variable, P = kappa~ less the interpolant of kappa in N + 1 Chebyshev nodes of each sub-bin; and
// between points cos(j pi / S) such a polynomial rises by a factor 1/cos^2(N pi / 2S) at most. With S = 8 N
//
//     max |E| <= (max_points |E| + rounding + r) kGrid + r.
//
// N is raised until r is a hundredth of what was seen: far cells need more, since r falls with distance more slowly
// than E.

namespace polyattn::numerics {

namespace {

using Real = long double;
constexpr double kUnit = static_cast<double>(std::numeric_limits<Real>::epsilon()) / 2.0;

/// 1/cos^2(pi/16) = 1.03956613..., and room for points that are cosines up to rounding only.
constexpr double kGrid = 1.0395662;
constexpr int kRefinement = 8;
constexpr int kMostDegrees = 48;

struct Pair {
  int p;
  double rho;
  int offset;  ///< at least 0
  int sub_bins, query_bin, key_bin;
};

/// The distance of the two sub-bins in units of h.
double gap_of(double rho, int offset, int sub_bins, int query_bin, int key_bin) noexcept {
  const int apart = std::abs(offset * sub_bins + query_bin - key_bin);
  return std::max(0, apart - 1) * (rho / sub_bins);
}

/// How far E is from polynomials of that degree in each variable.
double remainder(const Pair& pair, int degree) noexcept {
  const double gap = gap_of(pair.rho, pair.offset, pair.sub_bins, pair.query_bin, pair.key_bin);
  return (1.0 + lebesgue_constant(degree + 1)) *
         gaussian_interpolation_error(degree + 1, pair.rho / pair.sub_bins, gap) * (1.0 + 0x1p-40);
}

/// Bounds the rounding of E as computed below.
double rounding(const Pair& pair) noexcept {
  const int p = pair.p;
  const double lebesgue = lebesgue_constant(p);
  double squares = 0.0, sums = 0.0;
  for (int k = 1; k < p; ++k) {
    squares += 2.25 * k * k * (k - 1.0) * (k - 1.0);
    sums += std::sqrt(2.0 * k + 1.0) + 1.5;
  }
  const double basis = std::sqrt(2.0 * squares) + sums + 8.0 * p;
  const double farthest = pair.rho * (pair.offset + 1);
  const double kernel = 2.0 * farthest * pair.rho * (2.0 * pair.offset + 6.0) + farthest * farthest + 4.0;
  const double products = lebesgue * lebesgue + 1.0;
  const double peak = axis_peak(pair.rho, pair.offset, 1, 0, 0);
  return kUnit * peak * (products * (kernel + 2.0 * p + 3.0) + 2.0 * lebesgue * basis) * 1.001;
}

Real kernel(const Pair& pair, Real z, Real y) noexcept {
  const Real v = static_cast<Real>(pair.rho) * (static_cast<Real>(pair.offset) + (z - y) / 2);
  return std::exp(-v * v);
}

/// Points z of sub-bin `bin` in coordinates of its cell, [-1, 1], and the Lagrange polynomials there.
struct Points {
  std::vector<Real> z;
  std::vector<Real> basis;  ///< [point][node]
};

Points points_of(int p, int sub_bins, int bin, int count) {
  const auto size = static_cast<std::size_t>(p);
  const std::vector<Real> coefficients = lagrange_coefficients(p);
  Points points;
  for (int i = 0; i <= count; ++i) {
    const Real z =
        (static_cast<Real>(2 * bin + 1 - sub_bins) + chebyshev_cosine(2 * i, count)) / static_cast<Real>(sub_bins);
    points.z.push_back(z);
    std::vector<Real> values(coefficients.begin(), coefficients.begin() + p);
    Real before = 1, now = z;
    for (std::size_t k = 1; k < size; ++k) {
      for (std::size_t j = 0; j < size; ++j) values[j] += coefficients[k * size + j] * now;
      const Real next = 2 * z * now - before;
      before = now;
      now = next;
    }
    points.basis.insert(points.basis.end(), values.begin(), values.end());
  }
  return points;
}

/// max |E| over the points of both sub-bins, as computed.
double largest_seen(const Pair& pair, int count) {
  const auto p = static_cast<std::size_t>(pair.p);
  const Points queries = points_of(pair.p, pair.sub_bins, pair.query_bin, count);
  const Points keys = points_of(pair.p, pair.sub_bins, pair.key_bin, count);
  const std::vector<Real> nodes = chebyshev_nodes(pair.p);
  std::vector<Real> between(p * p);
  for (std::size_t i = 0; i < p; ++i) {
    for (std::size_t j = 0; j < p; ++j) between[i * p + j] = kernel(pair, nodes[i], nodes[j]);
  }

  std::vector<Real> row(p);
  Real largest = 0;
  for (std::size_t a = 0; a < keys.z.size(); ++a) {
    for (std::size_t i = 0; i < p; ++i) {
      row[i] = 0;
      for (std::size_t j = 0; j < p; ++j) row[i] += between[i * p + j] * keys.basis[a * p + j];
    }
    for (std::size_t b = 0; b < queries.z.size(); ++b) {
      Real sum = 0;
      for (std::size_t i = 0; i < p; ++i) sum += row[i] * queries.basis[b * p + i];
      largest = std::max(largest, std::fabs(sum - kernel(pair, queries.z[b], keys.z[a])));
    }
  }
  return round_up(static_cast<double>(largest));
}

}  // namespace

double axis_peak(double rho, int offset, int sub_bins, int query_bin, int key_bin) noexcept {
  const double gap = gap_of(rho, offset, sub_bins, query_bin, key_bin);
  if (gap <= 0.0) return 1.0;
  return std::max(std::exp(-gap * gap) * (1.0 + 0x1p-40), std::numeric_limits<double>::min());
}

// f is entire, so |f^(n)(u)| = |H_n(x)| exp(-x^2), x = u - t, is at most n! / radius^n times the maximum of
// |exp(-(x + z)^2)| on |z| = radius, whatever the radius; this one is the best.
double gaussian_interpolation_error(int n, double side, double gap) noexcept {
  const double squared = gap * gap - 2.0 * n;
  double radius = std::sqrt(0.5 * n);
  double exponent = radius * radius - 0.5 * gap * gap;
  if (squared > 0.0) {
    radius = std::min(0.5 * gap, 0.5 * (gap - std::sqrt(squared)));
    exponent = -(gap - radius) * (gap - radius);
  }
  return 2.0 * std::exp(n * std::log(side / (4.0 * radius)) + exponent) * (1.0 + 0x1p-30);
}

double axis_error(int p, double rho, int offset, int sub_bins, int query_bin, int key_bin) {
  Pair pair{p, rho, offset, sub_bins, query_bin, key_bin};
  if (offset < 0) pair = {p, rho, -offset, sub_bins, key_bin, query_bin};
  const double unit = rounding(pair);
  double best = std::numeric_limits<double>::infinity();
  for (int degree = p + 1;;) {
    const double seen = largest_seen(pair, kRefinement * degree) + unit;
    const double rest = remainder(pair, degree);
    best = std::min(best, inflate((seen + rest) * kGrid + rest, 8));
    if (rest <= 0.01 * seen || degree >= p + kMostDegrees) return best;
    while (degree < p + kMostDegrees && remainder(pair, degree) > 0.01 * seen) ++degree;
  }
}

}  // namespace polyattn::numerics
