// Included inside the namespace of one instruction set, after its lanes. See streaming_kernels.hpp.

inline void streaming_update_kernel(const StreamingUpdate& update) noexcept {
  const F64 scale = F64::set(update.scale);
  for (std::ptrdiff_t c = 0; c < update.columns; ++c) {
    const F64 token = F64::set(update.token[c]);
    double* sums = update.sums + c * update.rank;
    double* errors = update.errors + c * update.rank;
    for (std::ptrdiff_t f = 0; f < update.rank; f += F64::width) {
      const F64 before = F64::load(sums + f) * scale;
      const F64 term = F64::load(update.features + f) * token;
      const F64 after = before + term;
      const F64 part = after - before;  // Knuth's exact sum: no order of magnitudes is assumed
      const F64 lost = (before - (after - part)) + (term - part);
      after.store(sums + f);
      (F64::load(errors + f) * scale + lost).store(errors + f);
    }
  }
}

inline void streaming_read_kernel(const StreamingRead& read) noexcept {
  constexpr std::ptrdiff_t kVectors = kStreamingChains / kStreamingLanes;
  for (std::ptrdiff_t c = 0; c < read.columns; ++c) {
    const double* sums = read.sums + c * read.rank;
    const double* errors = read.errors + c * read.rank;
    F64 chain[kVectors];
    for (F64& lanes : chain) {
      lanes = F64::zero();
    }
    std::ptrdiff_t f = 0;
    for (; f + kStreamingChains <= read.rank; f += kStreamingChains) {
      for (std::ptrdiff_t v = 0; v < kVectors; ++v) {
        const std::ptrdiff_t i = f + v * F64::width;
        chain[v] = fma(F64::load(read.weights + i), F64::load(sums + i) + F64::load(errors + i), chain[v]);
      }
    }
    for (std::ptrdiff_t v = 0; f < read.rank; f += F64::width, ++v) {
      chain[v] = fma(F64::load(read.weights + f), F64::load(sums + f) + F64::load(errors + f), chain[v]);
    }
    read.out[c] = sum((chain[0] + chain[1]) + (chain[2] + chain[3]));
  }
}

constexpr StreamingKernels streaming_kernels() noexcept { return {&streaming_update_kernel, &streaming_read_kernel}; }
