#include "numerics/papers_bound.hpp"

#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::numerics {

namespace {
constexpr double kInfinity = std::numeric_limits<double>::infinity();
}

double relative_error(const ExpPolynomial& polynomial) noexcept {
  if (polynomial.moment != 0) return kInfinity;
  // 16 ulp for std::exp, more than any libm needs.
  return inflate(polynomial.error * std::exp(polynomial.radius), 32);
}

double papers_bound(const ExpPolynomial& polynomial, double max_abs_value) noexcept {
  const double epsilon = relative_error(polynomial);
  if (!(epsilon < 0.1) || !(max_abs_value >= 0.0) || std::isinf(max_abs_value)) return kInfinity;
  return inflate(2.0 * epsilon * max_abs_value, 2);
}

std::optional<double> lemma_2_1_degree(double bound, double epsilon) noexcept {
  if (!(epsilon > 0.0 && epsilon < 0.1) || !(bound > 0.0) || std::isinf(bound)) return std::nullopt;
  const double log_inverse = -std::log(epsilon);
  if (!(log_inverse > bound)) return std::nullopt;
  return std::max(log_inverse / std::log(log_inverse / bound), bound);
}

}  // namespace polyattn::numerics
