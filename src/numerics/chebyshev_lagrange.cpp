#include "numerics/chebyshev_lagrange.hpp"

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

std::vector<long double> chebyshev_nodes(int p) {
  std::vector<long double> nodes;
  nodes.reserve(static_cast<std::size_t>(p));
  for (int j = 0; j < p; ++j) nodes.push_back(chebyshev_cosine(2 * (p - 1 - j) + 1, p));
  return nodes;
}

std::vector<long double> lagrange_coefficients(int p) {
  std::vector<long double> coefficients;
  coefficients.reserve(static_cast<std::size_t>(p) * static_cast<std::size_t>(p));
  for (int k = 0; k < p; ++k) {
    for (int j = 0; j < p; ++j) {
      const long double value = chebyshev_cosine(k * (2 * (p - 1 - j) + 1), p) * (k == 0 ? 1.0L : 2.0L);
      coefficients.push_back(value / static_cast<long double>(p));
    }
  }
  return coefficients;
}

// The cotangents of angles between 0 and pi/2 are positive and computed to a few units each.
double lebesgue_constant(int p) noexcept {
  double sum = 0.0;
  for (int i = 1; i <= p; ++i) sum += 1.0 / std::tan((2 * i - 1) * (std::numbers::pi / (4 * p)));
  return inflate(sum / p, p + 64);
}

namespace {
// Second-order terms: T_k is off by less than p^2 u / 2 <= 2^-34, relatively.
constexpr double kSecondOrder = 1.0 + 0x1p-12;
}  // namespace

double chebyshev_rounding(int p) noexcept { return p < 2 ? 0.0 : 0.5 * (p - 1.0) * (p - 2.0) * kSecondOrder; }

}  // namespace polyattn::numerics
