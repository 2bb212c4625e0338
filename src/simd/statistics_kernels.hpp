#pragma once

/// Kernels of the passes that look at queries and keys before anything is decided: columns of float64, lanes are
/// tokens, whose number is a multiple of 8. Plain types only.

#include <cstddef>

namespace polyattn::simd {

/// square[i] += metric (x[i] - centre)^2.
struct MeasureColumn {
  const double* x;
  std::ptrdiff_t tokens;
  double centre;
  double metric;
  double* square;
};
/// log_weight[i] += term, term = linear y + square y^2, y = x[i] - centre; terms[i] += |term|; norms[i] += metric y^2.
struct WeighColumn {
  const double* x;
  std::ptrdiff_t tokens;
  double centre;
  double linear;
  double square;
  double metric;
  double* log_weight;
  double* terms;
  double* norms;
};
struct ColumnMeasure {
  double half;     ///< largest |x - centre|
  double largest;  ///< largest |x|
  double poison;   ///< 0, or NaN if a number of x is not finite
};

struct StatisticsKernels {
  ColumnMeasure (*measure)(const MeasureColumn&) noexcept;
  ColumnMeasure (*weigh)(const WeighColumn&) noexcept;
  /// Largest of x; -infinity of none.
  double (*largest)(const double* x, std::ptrdiff_t tokens) noexcept;
  /// out[i] = exp(x[i] - shift) for x <= shift, 0 below 2^-1021 and for -infinity; returns the sum. The exponent has
  /// three roundings (the difference, log2 e, their product), exp2 a relative error of at most 1.154 U.
  double (*exponentials)(const double* x, double shift, std::ptrdiff_t tokens, double* out) noexcept;
  double (*dot)(const double* a, const double* b, std::ptrdiff_t tokens) noexcept;
};

}  // namespace polyattn::simd
