#pragma once

/// Kernels of a stream: one token joins the moments, one query reads them. Lanes are features, so that one column of
/// values is served as well as many. Plain types only.

#include <cstddef>

namespace polyattn::simd {

/// Features of a column are padded with zeros to a multiple of this.
inline constexpr std::ptrdiff_t kStreamingLanes = 8;
/// Chains a column's sum is split into when it is read.
inline constexpr std::ptrdiff_t kStreamingChains = 4 * kStreamingLanes;

/// For each column c and feature f, with s = sums * scale, exactly:
///     sums, lost = s + features[f] * token[c] as rounded, and what that rounding lost, exactly;
///     errors     = errors * scale + lost.
/// So sums + errors is the compensated sum of Ogita, Rump and Oishi (2005).
struct StreamingUpdate {
  const double* features;  ///< [rank]
  std::ptrdiff_t rank;     ///< a multiple of kStreamingLanes
  const double* token;     ///< [columns]
  std::ptrdiff_t columns;
  double scale;    ///< a power of two
  double* sums;    ///< [columns][rank]
  double* errors;  ///< [columns][rank]
};

/// out[c] = sum_f weights[f] * (sums[c][f] + errors[c][f]), in kStreamingChains chains of fused operations that are
/// joined by a tree.
struct StreamingRead {
  const double* weights;  ///< [rank]
  std::ptrdiff_t rank;    ///< a multiple of kStreamingLanes
  const double* sums;     ///< [columns][rank]
  const double* errors;   ///< [columns][rank]
  std::ptrdiff_t columns;
  double* out;  ///< [columns]
};

struct StreamingKernels {
  void (*update)(const StreamingUpdate&) noexcept;
  void (*read)(const StreamingRead&) noexcept;
};

}  // namespace polyattn::simd
