// Included inside the namespace of one instruction set, after its lanes. See sliding_kernels.hpp.

/// NF vectors of features from `feature` on and NC columns from `column` on, all rows.
template <int M, int NF, int NC>
inline void slide_tile(const SlidingBlock& block, std::ptrdiff_t feature, std::ptrdiff_t column, bool first) noexcept {
  Registers<Registers<Registers<F64, NC>, NF>, M> sums;
  for (int s = 0; s < M; ++s) {
    for (int v = 0; v < NF; ++v) {
      for (int c = 0; c < NC; ++c) {
        sums[s][v][c] = F64::load(block.sets[s].sums + (column + c) * block.stride + feature + v * F64::width);
      }
    }
  }
  for (std::ptrdiff_t i = 0; i < block.rows; ++i) {
    for (int s = 0; s < M; ++s) {
      const SlidingSet& set = block.sets[s];
      for (std::ptrdiff_t e = set.first[i]; e < set.first[i + 1]; ++e) {
        const double* from = set.features + e * block.stride + feature;
        const double* values = set.values + e * block.columns + column;
        for (int v = 0; v < NF; ++v) {
          const F64 x = F64::load(from + v * F64::width);
          for (int c = 0; c < NC; ++c) {
            sums[s][v][c] = fma(x, F64::set(values[c]), sums[s][v][c]);
          }
        }
      }
    }
    double* to = block.partial + i * kSlidingColumns * F64::width;
    Registers<F64, NC> total;
    for (int c = 0; c < NC; ++c) {
      total[c] = first ? F64::zero() : F64::load(to + c * F64::width);
    }
    for (int v = 0; v < NF; ++v) {
      const F64 y = F64::load(block.query + i * block.stride + feature + v * F64::width);
      for (int c = 0; c < NC; ++c) {
        F64 product = sums[0][v][c];
        for (int s = 1; s < M; ++s) {
          product = product * sums[s][v][c];
        }
        total[c] = fma(y, product, total[c]);
      }
    }
    for (int c = 0; c < NC; ++c) {
      total[c].store(to + c * F64::width);
    }
  }
  for (int s = 0; s < M; ++s) {
    for (int v = 0; v < NF; ++v) {
      for (int c = 0; c < NC; ++c) {
        sums[s][v][c].store(block.sets[s].sums + (column + c) * block.stride + feature + v * F64::width);
      }
    }
  }
}

/// NC columns, all features and rows. Vectors of features are added up in their order however many are taken at once.
template <int M, int NF, int NC>
inline void slide_columns(const SlidingBlock& block, std::ptrdiff_t column) noexcept {
  std::ptrdiff_t f = block.feature;
  for (; f + NF * F64::width <= block.feature_end; f += NF * F64::width) {
    slide_tile<M, NF, NC>(block, f, column, f == block.feature);
  }
  if constexpr (NF > 1) {
    for (; f < block.feature_end; f += F64::width) {
      slide_tile<M, 1, NC>(block, f, column, f == block.feature);
    }
  }
  for (std::ptrdiff_t i = 0; i < block.rows; ++i) {
    for (int c = 0; c < NC; ++c) {
      block.out[(column + c) * block.ld + i] = sum(F64::load(block.partial + (i * kSlidingColumns + c) * F64::width));
    }
  }
}

template <int M>
inline void slide_sets(const SlidingBlock& block) noexcept {
  constexpr bool kMany = F64::tile_rows * F64::tile_vectors >= 16;  // registers
  constexpr int kWide = kMany ? 4 : 2;
  constexpr int kVectors = kMany && M < 3 ? 2 : 1;
  std::ptrdiff_t c = block.column;
  for (; c + kWide <= block.column_end; c += kWide) {
    slide_columns<M, kVectors, kWide>(block, c);
  }
  for (; c < block.column_end; ++c) {
    slide_columns<M, kVectors, 1>(block, c);
  }
}

inline void slide_kernel(const SlidingBlock& block) noexcept {
  switch (block.count) {
    case 1:
      slide_sets<1>(block);
      break;
    case 2:
      slide_sets<2>(block);
      break;
    case 3:
      slide_sets<3>(block);
      break;
    default:
      slide_sets<4>(block);
      break;
  }
}

constexpr SlidingKernels sliding_kernels() noexcept { return {&slide_kernel}; }
