// Included inside the namespace of one instruction set, after its lanes. See polynomial_kernels.hpp.

/// Plain loops over independent products: compilers turn them into vector code, whose bits are the same everywhere.
template <class T>
void scale_kernel(const ScaleBlock<T>& block) noexcept {
  const double* __restrict weights = block.weights;
  const double* __restrict totals = block.totals;
  T* __restrict scaled = block.scaled;
  for (std::ptrdiff_t i = 0; i < block.count; ++i) {
    scaled[i] = static_cast<T>(weights[i] * totals[i]);
  }
}
