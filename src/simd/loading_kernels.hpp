#pragma once

/// Rows of numbers on their way to columns: float64, lanes are tokens. Plain types only.

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

struct LoadingKernels {
  void (*columns32)(const ColumnsBlock<float>&) noexcept;
  void (*columns64)(const ColumnsBlock<double>&) noexcept;
};

}  // namespace polyattn::simd
