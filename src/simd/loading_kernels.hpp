#pragma once

/// Rows of numbers on their way to columns, lanes are tokens. Plain types only.

#include <cstddef>

namespace polyattn::simd {

/// out[c * ld + r] = rows[r * stride + c] for r < count, c < columns.
template <class T>
struct ColumnsBlock {
  const T* rows;
  std::ptrdiff_t stride;
  std::ptrdiff_t count;
  std::ptrdiff_t columns;
  double* out;
  std::ptrdiff_t ld;
};

/// out[c * ld + r] = (rows[r * stride + c] - centre[c]) * factor[c], in float64 and rounded to T; no factors: 1.
template <class S, class T>
struct PlaceBlock {
  const S* rows;
  std::ptrdiff_t stride;
  std::ptrdiff_t count;
  std::ptrdiff_t columns;
  const double* centre;
  const double* factor;
  T* out;
  std::ptrdiff_t ld;
};

struct LoadingKernels {
  void (*columns32)(const ColumnsBlock<float>&) noexcept;
  void (*columns64)(const ColumnsBlock<double>&) noexcept;
  void (*place32in32)(const PlaceBlock<float, float>&) noexcept;
  void (*place32in64)(const PlaceBlock<float, double>&) noexcept;
  void (*place64in32)(const PlaceBlock<double, float>&) noexcept;
  void (*place64in64)(const PlaceBlock<double, double>&) noexcept;
};

}  // namespace polyattn::simd
