// Included inside the namespace of one instruction set, after its lanes. See sliding_kernels.hpp.

/// Whole vectors throughout: what is written beyond a run of monomials is written anew by the next run, or is padding.
/// Several tokens take turns, so that nothing is read right after it was written with another alignment.
inline void expand_some(const ExpandTokens& block, std::ptrdiff_t first, std::ptrdiff_t last) noexcept {
  for (std::ptrdiff_t token = first; token < last; ++token) {
    F64::zero().store(block.out + token * block.stride);
    block.out[token * block.stride] = 1.0;
  }
  for (int t = 1; t <= block.degree; ++t) {
    const std::ptrdiff_t end = block.starts[t - 1] + block.counts[t - 1];
    std::ptrdiff_t to = block.starts[t];
    for (std::ptrdiff_t l = 0; l < block.dim; ++l) {
      const std::ptrdiff_t tail = block.tails[(t - 1) * block.dim + l];
      for (std::ptrdiff_t token = first; token < last; ++token) {
        double* out = block.out + token * block.stride;
        const F64 variable = F64::set(block.x[l * block.ld + token]);
        for (std::ptrdiff_t i = tail; i < end; i += F64::width) {
          (F64::load(out + i) * variable).store(out + to + i - tail);
        }
      }
      to += end - tail;
    }
    for (std::ptrdiff_t token = first; token < last; ++token) {
      F64::zero().store(block.out + token * block.stride + to);  // up to where the next degree begins, at least
    }
  }
}

inline void expand_kernel(const ExpandTokens& block) noexcept {
  constexpr std::ptrdiff_t kTurns = 8;
  const std::ptrdiff_t all = block.starts[block.degree] + block.counts[block.degree];
  for (std::ptrdiff_t first = 0; first < block.tokens; first += kTurns) {
    const std::ptrdiff_t last = first + kTurns < block.tokens ? first + kTurns : block.tokens;
    expand_some(block, first, last);
    for (std::ptrdiff_t token = first; block.weights != nullptr && token < last; ++token) {
      double* out = block.out + token * block.stride;
      for (std::ptrdiff_t f = 0; f < all; f += F64::width) {
        (F64::load(out + f) * F64::load(block.weights + f)).store(out + f);
      }
    }
  }
}

/// Sums of one set, NF vectors of features and NC columns, in registers.
template <int NF, int NC>
using SlidingTile = Registers<Registers<F64, NC>, NF>;

/// What does not change from row to row. Sets are walked by recursion: a loop over them would keep sums in memory.
template <int M>
struct SlidingPass {
  const std::ptrdiff_t* first[static_cast<std::size_t>(M)];
  const double* features[static_cast<std::size_t>(M)];  ///< from the tile's first feature on
  const double* values[static_cast<std::size_t>(M)];    ///< from the tile's first column on
  std::ptrdiff_t stride;
  std::ptrdiff_t columns;
};

template <int M, int NF, int NC, int S = 0>
[[gnu::always_inline]] inline void load_tiles(const SlidingBlock& block, std::ptrdiff_t feature, std::ptrdiff_t column,
                                              Registers<SlidingTile<NF, NC>, M>& sums) noexcept {
  for (int v = 0; v < NF; ++v) {
    for (int c = 0; c < NC; ++c) {
      sums[S][v][c] = F64::load(block.sets[S].sums + (column + c) * block.stride + feature + v * F64::width);
    }
  }
  if constexpr (S + 1 < M) {
    load_tiles<M, NF, NC, S + 1>(block, feature, column, sums);
  }
}

template <int M, int NF, int NC, int S = 0>
[[gnu::always_inline]] inline void store_tiles(const SlidingBlock& block, std::ptrdiff_t feature, std::ptrdiff_t column,
                                               const Registers<SlidingTile<NF, NC>, M>& sums) noexcept {
  for (int v = 0; v < NF; ++v) {
    for (int c = 0; c < NC; ++c) {
      sums[S][v][c].store(block.sets[S].sums + (column + c) * block.stride + feature + v * F64::width);
    }
  }
  if constexpr (S + 1 < M) {
    store_tiles<M, NF, NC, S + 1>(block, feature, column, sums);
  }
}

/// The events before row i.
template <int M, int NF, int NC, int S = 0>
[[gnu::always_inline]] inline void take_events(const SlidingPass<M>& pass, std::ptrdiff_t i,
                                               Registers<SlidingTile<NF, NC>, M>& sums) noexcept {
  for (std::ptrdiff_t e = pass.first[S][i]; e < pass.first[S][i + 1]; ++e) {
    const double* from = pass.features[S] + e * pass.stride;
    const double* values = pass.values[S] + e * pass.columns;
    for (int v = 0; v < NF; ++v) {
      const F64 x = F64::load(from + v * F64::width);
      for (int c = 0; c < NC; ++c) {
        sums[S][v][c] = fma(x, F64::set(values[c]), sums[S][v][c]);
      }
    }
  }
  if constexpr (S + 1 < M) {
    take_events<M, NF, NC, S + 1>(pass, i, sums);
  }
}

/// The product of the sets, factor by factor.
template <int M, int NF, int NC, int S = M - 1>
[[gnu::always_inline]] inline F64 product_of(const Registers<SlidingTile<NF, NC>, M>& sums, int v, int c) noexcept {
  if constexpr (S == 0) {
    return sums[0][v][c];
  } else {
    return product_of<M, NF, NC, S - 1>(sums, v, c) * sums[S][v][c];
  }
}

/// NF vectors of features from `feature` on and NC columns from `column` on, all rows.
template <int M, int NF, int NC>
inline void slide_tile(const SlidingBlock& block, std::ptrdiff_t feature, std::ptrdiff_t column, bool first) noexcept {
  Registers<SlidingTile<NF, NC>, M> sums;
  load_tiles<M, NF, NC>(block, feature, column, sums);
  SlidingPass<M> pass;
  for (int s = 0; s < M; ++s) {
    pass.first[s] = block.sets[s].first;
    pass.features[s] = block.sets[s].features + feature;
    pass.values[s] = block.sets[s].values + column;
  }
  pass.stride = block.stride;
  pass.columns = block.columns;
  const double* query = block.query + feature;
  double* partial = block.partial + column * block.rows * F64::width;
  const std::ptrdiff_t slab = block.rows * F64::width;
  for (std::ptrdiff_t i = 0; i < block.rows; ++i) {
    take_events<M, NF, NC>(pass, i, sums);
    Registers<F64, NC> total;
    for (int c = 0; c < NC; ++c) {
      total[c] = first ? F64::zero() : F64::load(partial + c * slab + i * F64::width);
    }
    for (int v = 0; v < NF; ++v) {
      const F64 y = F64::load(query + i * pass.stride + v * F64::width);
      for (int c = 0; c < NC; ++c) {
        total[c] = fma(y, product_of<M, NF, NC>(sums, v, c), total[c]);
      }
    }
    for (int c = 0; c < NC; ++c) {
      total[c].store(partial + c * slab + i * F64::width);
    }
  }
  store_tiles<M, NF, NC>(block, feature, column, sums);
}

/// NF vectors of features, all columns: what rows have there stays in cache.
template <int M, int NF>
inline void slide_features(const SlidingBlock& block, std::ptrdiff_t feature) noexcept {
  const bool first = feature == block.feature;
  std::ptrdiff_t c = block.column;
  for (; c + 2 <= block.column_end; c += 2) {
    slide_tile<M, NF, 2>(block, feature, c, first);
  }
  if (c < block.column_end) {
    slide_tile<M, NF, 1>(block, feature, c, first);
  }
}

/// Vectors of features are added up in their order however many are taken at once.
template <int M>
inline void slide_sets(const SlidingBlock& block) noexcept {
  constexpr bool kMany = F64::tile_rows * F64::tile_vectors >= 16;  // registers
  constexpr int kVectors = !kMany ? 1 : M <= 3 ? 4 : 2;
  std::ptrdiff_t f = block.feature;
  for (; f + kVectors * F64::width <= block.feature_end; f += kVectors * F64::width) {
    slide_features<M, kVectors>(block, f);
  }
  if constexpr (kVectors > 2) {
    for (; f + 2 * F64::width <= block.feature_end; f += 2 * F64::width) {
      slide_features<M, 2>(block, f);
    }
  }
  if constexpr (kVectors > 1) {
    for (; f < block.feature_end; f += F64::width) {
      slide_features<M, 1>(block, f);
    }
  }
  for (std::ptrdiff_t c = block.column; c < block.column_end; ++c) {
    for (std::ptrdiff_t i = 0; i < block.rows; ++i) {
      block.out[c * block.ld + i] = sum(F64::load(block.partial + (c * block.rows + i) * F64::width));
    }
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

constexpr SlidingKernels sliding_kernels() noexcept { return {&expand_kernel, &slide_kernel}; }
