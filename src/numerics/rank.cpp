#include "numerics/rank.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace polyattn::numerics {

namespace {
constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
}

// C(m + i, i) = C(m + i - 1, i - 1) (m + i) / i with m = n - k. Where the product overflows, what is left of i after
// its common factor with the binomial is taken out divides m + i, so nothing larger than the result is ever formed; and
// since the partial results grow with i, an overflow on the way is an overflow of the result.
std::int64_t binomial(std::int64_t n, std::int64_t k) noexcept {
  if (n < 0 || k < 0) return -1;
  if (k > n) return 0;
  k = std::min(k, n - k);
  const std::int64_t m = n - k;
  std::int64_t result = 1;
  for (std::int64_t i = 1; i <= k; ++i) {
    std::int64_t product = 0;
    if (!__builtin_mul_overflow(result, m + i, &product)) {
      result = product / i;
      continue;
    }
    const std::int64_t common = std::gcd(result, i);
    const std::int64_t factor = (m + i) / (i / common);
    result /= common;
    if (result > kLargest / factor) return -1;
    result *= factor;
  }
  return result;
}

std::int64_t feature_rank(std::int64_t dim, int degree) noexcept {
  if (dim < 0 || degree < 0 || dim > kLargest - degree) return -1;
  return binomial(dim + degree, degree);
}

std::int64_t papers_rank(std::int64_t dim, int degree, int order) noexcept {
  if (dim < 0 || degree < 0 || order < 1 || dim > kLargest / order - degree) return -1;
  return binomial(order * (dim + degree), static_cast<std::int64_t>(order) * degree);
}

}  // namespace polyattn::numerics
