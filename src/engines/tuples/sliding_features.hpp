#pragma once

/// All monomials of one token side by side, lanes are features: degree after degree, each padded with zeros to whole
/// lanes, lexicographic in the non-decreasing list of variables as everywhere.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

struct SlidingFeatures {
  int dim = 0;
  int degree = 0;
  std::vector<std::ptrdiff_t> starts;  ///< [degree + 2] of each degree; the last is the number of all, padding included
  std::vector<std::ptrdiff_t> tails;   ///< [degree + 1][dim] where the monomials begin whose variables are all >= l
  std::vector<std::ptrdiff_t> counts;  ///< [degree + 1] without padding
  std::vector<double> weights;         ///< (t!/alpha!) z^alpha, 0 in the padding

  [[nodiscard]] std::ptrdiff_t stride() const noexcept { return starts.back(); }
};

/// Relative error of the weights: at most 3t roundings.
SlidingFeatures make_sliding_features(int dim, int degree, const double* z);

/// out[f] = x^alpha: t - 1 products for degree t. Zeros in the padding.
void expand_token(const SlidingFeatures& features, const double* x, double* out) noexcept;

}  // namespace polyattn::engines
