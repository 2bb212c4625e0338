#include "numerics/chebyshev_lagrange.hpp"

#include "base/nearest_long_double.hpp"
#include "numerics/rounding.hpp"

#include <cmath>
#include <cstddef>
#include <numbers>

namespace polyattn::numerics {

// Angles are folded into [0, pi/4], where the argument's relative error of a few units is less than one unit of the
// result.
long double chebyshev_cosine(int m, int p) noexcept {
  int folded = m % (4 * p);
  if (folded > 2 * p) folded = 4 * p - folded;
  const bool negative = folded > p;
  if (negative) folded = 2 * p - folded;
  const long double unit = std::numbers::pi_v<long double> / static_cast<long double>(2 * p);
  const long double value = 2 * folded <= p ? std::cos(static_cast<long double>(folded) * unit)
                                            : std::sin(static_cast<long double>(p - folded) * unit);
  return negative ? -value : value;
}

std::vector<double> chebyshev_nodes(int p) {
  const base::NearestLongDouble nearest;
  std::vector<double> nodes(static_cast<std::size_t>(p));
  for (int i = 0; i < p; ++i) {
    nodes[static_cast<std::size_t>(i)] = static_cast<double>(chebyshev_cosine(2 * (p - 1 - i) + 1, p));
  }
  return nodes;
}

// The cotangents of angles between 0 and pi/2 are positive and computed to a few units each.
double lebesgue_constant(int p) noexcept {
  double sum = 0.0;
  for (int i = 1; i <= p; ++i) sum += 1.0 / std::tan((2 * i - 1) * (std::numbers::pi / (4 * p)));
  return inflate(sum / p, p + 64);
}

std::vector<double> lagrange_coefficients(int p) {
  const base::NearestLongDouble nearest;
  const auto size = static_cast<std::size_t>(p);
  std::vector<double> coefficients(size * size);
  for (int k = 0; k < p; ++k) {
    for (int j = 0; j < p; ++j) {
      const long double value = chebyshev_cosine(k * (2 * (p - 1 - j) + 1), p);
      coefficients[static_cast<std::size_t>(k) * size + static_cast<std::size_t>(j)] =
          static_cast<double>((k == 0 ? 1.0L : 2.0L) * value / static_cast<long double>(p));
    }
  }
  return coefficients;
}

void lagrange_values(std::span<const double> coefficients, double x, std::span<double> values) noexcept {
  const std::size_t p = values.size();
  for (std::size_t j = 0; j < p; ++j) values[j] = coefficients[j];
  double before = 1.0, now = x;
  for (std::size_t k = 1; k < p; ++k) {
    for (std::size_t j = 0; j < p; ++j) values[j] = std::fma(coefficients[k * p + j], now, values[j]);
    const double next = std::fma(2.0 * x, now, -before);
    before = now;
    now = next;
  }
}

namespace {
// Second-order terms: T_k is off by less than p^2 u / 2 <= 2^11 2^-24, relatively.
constexpr double kSecondOrder = 1.0 + 0x1p-12;
}  // namespace

double chebyshev_rounding(int p) noexcept { return p < 2 ? 0.0 : 0.5 * (p - 1.0) * (p - 2.0) * kSecondOrder; }

double lagrange_rounding(int p) noexcept {
  const double recurrence = (p - 1.0) * (p - 2.0) / 3.0;
  const double sums = p - 1.0 / p;
  return (recurrence + sums + 2.0 * kCoefficientError) * kSecondOrder;
}

double lagrange_rounding_sum(int p) noexcept {
  double squares = 0.0, sums = 0.0;
  for (int k = 1; k < p; ++k) {
    squares += 0.25 * k * k * (k - 1.0) * (k - 1.0);
    sums += std::sqrt(2.0 * k + 1.0);
  }
  return (std::sqrt(2.0 * squares) + sums + 2.0 * kCoefficientError * p) * kSecondOrder;
}

double lagrange_slope(int p) noexcept { return inflate((p - 1.0) * (2.0 * p - 1.0) / 3.0, 4); }
double lagrange_slope_sum(int p) noexcept { return inflate((p - 1.0) * (p - 1.0) * lebesgue_constant(p), 4); }

}  // namespace polyattn::numerics
