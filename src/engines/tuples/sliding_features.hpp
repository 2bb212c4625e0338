#pragma once

/// All monomials of one token side by side, lanes are features: degree after degree, each padded with zeros to whole
/// lanes, lexicographic in the non-decreasing list of variables as everywhere.

#include "simd/sliding_kernels.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

struct SlidingFeatures {
  int dim = 0;
  int degree = 0;
  std::vector<std::ptrdiff_t> starts;  ///< [degree + 2] of each degree; the last is where they end
  std::vector<std::ptrdiff_t> tails;   ///< [degree + 1][dim] where the monomials begin whose variables are all >= l
  std::vector<std::ptrdiff_t> counts;  ///< [degree + 1] without padding
  std::vector<double> weights;         ///< (t!/alpha!) z^alpha, 0 in the padding

  std::ptrdiff_t padded = 0;
  const simd::SlidingKernels* kernels = nullptr;

  [[nodiscard]] std::ptrdiff_t stride() const noexcept { return padded; }
};

/// At least one line of cache beyond the last, and lines in odd number, so that tokens do not share few places in it.
/// Relative error of the weights: at most 3t roundings.
SlidingFeatures make_sliding_features(int dim, int degree, const double* z);

/// out[token][f] = x^alpha, times the weights if asked for: t - 1 products for degree t, and one. x is [dim][ld]; `out`
/// has kSlidingLanes numbers more than tokens * stride.
void expand_tokens(const SlidingFeatures& features, const double* x, std::int64_t ld, std::int64_t tokens,
                   bool weighted, double* out) noexcept;

}  // namespace polyattn::engines
