// Included inside the namespace of one instruction set, after its lanes. See loading_kernels.hpp.

/// Rows go in groups as wide as a vector, columns a few at a time through registers; what is left over one by one.
template <class F>
void load_columns_kernel(const ColumnsBlock<typename F::Scalar>& block) noexcept {
  std::ptrdiff_t r = 0;
  for (; r + F::width <= block.count; r += F::width) {
    const auto* from = block.rows + r * block.stride;
    std::ptrdiff_t c = 0;
    for (; c + F::columns <= block.columns; c += F::columns) {
      F column[F::columns];
      load_columns(from + c, block.stride, column);
      for (int k = 0; k < F::columns; ++k) {
        double* to = block.out + (c + k) * block.ld + r;
        widen_low(column[k]).store(to);
        if constexpr (F::width != F64::width) {
          widen_high(column[k]).store(to + F64::width);
        }
      }
    }
    for (; c < block.columns; ++c) {
      double* to = block.out + c * block.ld + r;
      for (std::ptrdiff_t i = 0; i < F::width; ++i) {
        to[i] = static_cast<double>(from[i * block.stride + c]);
      }
    }
  }
  for (; r < block.count; ++r) {
    for (std::ptrdiff_t c = 0; c < block.columns; ++c) {
      block.out[c * block.ld + r] = static_cast<double>(block.rows[r * block.stride + c]);
    }
  }
}

constexpr LoadingKernels loading_kernels() noexcept { return {&load_columns_kernel<F32>, &load_columns_kernel<F64>}; }
