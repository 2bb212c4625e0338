// One key block against a tile of queries. Included inside the namespace of one instruction set.

/// Queries whose scores are kept at once, side by side in the scratch.
template <class F>
inline constexpr std::ptrdiff_t kStride = F::tile_vectors* F::width;

/// What becomes of a sum of products before it is stored.
enum class Finish : std::uint8_t {
  plain,   ///< bias
  masked,  ///< bias and mask
  later,   ///< left raw for finish_scores: soft-capping
};

/// A score plus its mask; -inf hides, whatever the score.
template <class F>
inline F masked(F s, F mask) noexcept {
  using E = Exact<typename F::Scalar>;
  return select_less(mask, F::set(E::least), F::set(E::hidden), s + mask);
}

template <class F, TileScore Kind>
inline F raw_score(F acc, const typename F::Scalar* factors) noexcept {
  return Kind == TileScore::isotropic ? fnma(acc, F::set(factors[0]), F::zero()) : acc;
}

/// Scores of R keys against V vectors of queries, stored and folded into the running maximum.
template <class F, int R, int V, TileScore Kind, Finish How>
[[gnu::always_inline]] inline void score_here(const typename F::Scalar* keys, const typename F::Scalar* bias,
                                              const ExactTile<typename F::Scalar>& tile, std::ptrdiff_t lane,
                                              std::ptrdiff_t first_key, Vectors<F, V>& largest) noexcept {
  using T = typename F::Scalar;
  Matrix<F, R, V> acc;
  std::ptrdiff_t l = 0;
  do {
    const std::ptrdiff_t start = l;
    const std::ptrdiff_t end = l + kChain < tile.dim ? l + kChain : tile.dim;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        acc[r][v] = F::zero();
      }
    }
    for (; l < end; ++l) {
      Vectors<F, V> q;
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        q[v] = F::load(tile.queries + lane + l * kTile + v * F::width);
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const F k = F::set(keys[l * kRowGroup + r]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
          const F factor = Kind == TileScore::gaussian ? F::set(tile.factors[l]) : F::zero();
          acc[r][v] = add_product<F, Kind>(k, q[v], factor, acc[r][v]);
        }
      }
    }
    if (start == 0 && l == tile.dim) {
      break;  // one chain
    }
    // The scratch holds the sum of the chains before.
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        T* partial = tile.scratch + (first_key + r) * kStride<F> + v * F::width;
        if (start > 0) {
          acc[r][v] = acc[r][v] + F::load(partial);
        }
        if (l < tile.dim) {
          acc[r][v].store(partial);
        }
      }
    }
  } while (l < tile.dim);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const F b = F::set(bias[r]);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      T* target = tile.scratch + (first_key + r) * kStride<F> + v * F::width;
      if constexpr (How == Finish::later) {
        raw_score<F, Kind>(acc[r][v], tile.factors).store(target);
      } else {
        F s = Kind == TileScore::isotropic ? fnma(acc[r][v], F::set(tile.factors[0]), b) : acc[r][v] + b;
        if constexpr (How == Finish::masked) {
          s = masked(s, F::load(tile.mask + (first_key + r) * kTile + lane + v * F::width));
        }
        s.store(target);
        largest[v] = max(s, largest[v]);
      }
    }
  }
}

template <class F, int R, int V, TileScore Kind, Finish How>
[[gnu::noinline]] void score_apart(const typename F::Scalar* keys, const typename F::Scalar* bias,
                                   const ExactTile<typename F::Scalar>& tile, std::ptrdiff_t lane,
                                   std::ptrdiff_t first_key, Vectors<F, V>& largest) noexcept {
  score_here<F, R, V, Kind, How>(keys, bias, tile, lane, first_key, largest);
}

/// Where a tile needs nearly all registers they are its own only in a function of its own: g++ 12 otherwise reads the
/// queries from the stack for every product, which takes a fifth of the time.
template <class F, int R, int V, TileScore Kind, Finish How>
inline void score_tile(const typename F::Scalar* keys, const typename F::Scalar* bias,
                       const ExactTile<typename F::Scalar>& tile, std::ptrdiff_t lane, std::ptrdiff_t first_key,
                       Vectors<F, V>& largest) noexcept {
  if constexpr (R * F::tile_vectors >= 24) {
    score_apart<F, R, V, Kind, How>(keys, bias, tile, lane, first_key, largest);
  } else {
    score_here<F, R, V, Kind, How>(keys, bias, tile, lane, first_key, largest);
  }
}

/// Soft-capping, bias and mask for what score_tile left raw.
template <class F, int V>
void finish_scores(const ExactBlock<typename F::Scalar>& block, const ExactTile<typename F::Scalar>& tile,
                   std::ptrdiff_t lane, Vectors<F, V>& largest) noexcept {
  for (std::ptrdiff_t j = block.first_group * kRowGroup; j < block.groups * kRowGroup; ++j) {
    const F b = F::set(block.bias[j]);
    for (int v = 0; v < V; ++v) {
      auto* target = tile.scratch + j * kStride<F> + v * F::width;
      F s = F::load(target);
      if (tile.cap.out != 0) {
        s = soft_cap(s, tile.cap.in, tile.cap.out);
      }
      s = s + b;
      if (tile.mask != nullptr) {
        s = masked(s, F::load(tile.mask + j * kTile + lane + v * F::width));
      }
      s.store(target);
      largest[v] = max(s, largest[v]);
    }
  }
}

/// Weights of one vector of queries, their sum, and the value columns that do not fill a group of eight.
template <class F, int R, bool Keep>
inline void weigh_vector(const typename F::Scalar* values, std::ptrdiff_t first, std::ptrdiff_t keys, F reference,
                         F scale, typename F::Scalar* scratch, typename F::Scalar* sum,
                         typename F::Scalar* accumulator) noexcept {
  F total = F::zero();
  Vectors<F, R + (R == 0 ? 1 : 0)> acc;  // no array of length 0
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    acc[r] = F::zero();
  }
  constexpr int N = F::tile_vectors == 3 ? 4 : 2;  // divides kRowGroup
  for (std::ptrdiff_t j = first; j < keys; j += N) {
    Vectors<F, N> p;
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      p[n] = F::load(scratch + (j + n) * kStride<F>) - reference;
    }
    exp2_negative<F, N>(p);
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      total = total + p[n];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        acc[r] = fma(F::set(values[(j + n) * R + r]), p[n], acc[r]);
      }
      if constexpr (Keep) {
        p[n].store(scratch + (j + n) * kStride<F>);
      }
    }
  }
  fma(F::load(sum), scale, total).store(sum);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    fma(F::load(accumulator + r * kTile), scale, acc[r]).store(accumulator + r * kTile);
  }
}

/// R value columns against the stored weights of V vectors.
template <class F, int R, int V>
inline void sum_tile(const typename F::Scalar* values, std::ptrdiff_t first, std::ptrdiff_t keys,
                     const Vectors<F, V>& scale, const typename F::Scalar* scratch,
                     typename F::Scalar* accumulator) noexcept {
  Matrix<F, R, V> acc;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      acc[r][v] = F::zero();
    }
  }
  for (std::ptrdiff_t j = first; j < keys; ++j) {
    Vectors<F, V> p;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      p[v] = F::load(scratch + j * kStride<F> + v * F::width);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const F value = F::set(values[j * kRowGroup + r]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        acc[r][v] = fma(value, p[v], acc[r][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      typename F::Scalar* target = accumulator + r * kTile + v * F::width;
      fma(F::load(target), scale[v], acc[r][v]).store(target);
    }
  }
}

/// The value columns of one vector of queries where hidden keys may have infinite or NaN values: the same sums with
/// zeros in their place.
template <class F>
void sum_guarded(const ExactBlock<typename F::Scalar>& block, const ExactTile<typename F::Scalar>& tile,
                 std::ptrdiff_t first_lane, int v, F scale, typename F::Scalar* accumulator) noexcept {
  using T = typename F::Scalar;
  const std::ptrdiff_t lane = first_lane + v * F::width;
  const std::ptrdiff_t whole = tile.value_dim / kRowGroup * kRowGroup;
  for (std::ptrdiff_t c = 0; c < tile.value_dim; ++c) {
    const std::ptrdiff_t columns = c < whole ? kRowGroup : tile.value_dim - whole;
    const T* values = block.values + c / kRowGroup * kRowGroup * kKeyBlock + c % kRowGroup;
    F acc = F::zero();
    for (std::ptrdiff_t j = block.first_group * kRowGroup; j < block.groups * kRowGroup; ++j) {
      const F mask = F::load(tile.mask + j * kTile + lane);
      const F value = select_less(mask, F::set(Exact<T>::least), F::zero(), F::set(values[j * columns]));
      acc = fma(value, F::load(tile.scratch + j * kStride<F> + v * F::width), acc);
    }
    T* target = accumulator + c * kTile + lane;
    fma(F::load(target), scale, acc).store(target);
  }
}

template <class F, bool Keep>
inline void weigh_remainder(std::ptrdiff_t columns, const typename F::Scalar* values, std::ptrdiff_t first,
                            std::ptrdiff_t keys, F reference, F scale, typename F::Scalar* scratch,
                            typename F::Scalar* sum, typename F::Scalar* accumulator) noexcept {
  switch (columns) {
    case 0:
      return weigh_vector<F, 0, Keep>(values, first, keys, reference, scale, scratch, sum, accumulator);
    case 1:
      return weigh_vector<F, 1, Keep>(values, first, keys, reference, scale, scratch, sum, accumulator);
    case 2:
      return weigh_vector<F, 2, Keep>(values, first, keys, reference, scale, scratch, sum, accumulator);
    case 3:
      return weigh_vector<F, 3, Keep>(values, first, keys, reference, scale, scratch, sum, accumulator);
    case 4:
      return weigh_vector<F, 4, Keep>(values, first, keys, reference, scale, scratch, sum, accumulator);
    case 5:
      return weigh_vector<F, 5, Keep>(values, first, keys, reference, scale, scratch, sum, accumulator);
    case 6:
      return weigh_vector<F, 6, Keep>(values, first, keys, reference, scale, scratch, sum, accumulator);
    default:
      return weigh_vector<F, 7, Keep>(values, first, keys, reference, scale, scratch, sum, accumulator);
  }
}

/// One key block against V vectors of queries from `lane` on.
template <class F, int V, TileScore Kind, Finish How>
void absorb_vectors(const ExactBlock<typename F::Scalar>& block, const ExactTile<typename F::Scalar>& tile,
                    const ExactState<typename F::Scalar>& state, std::ptrdiff_t lane) noexcept {
  using T = typename F::Scalar;
  using E = Exact<T>;
  const std::ptrdiff_t first = block.first_group * kRowGroup;
  const std::ptrdiff_t keys = block.groups * kRowGroup;

  // 1. Scores, and their maximum over the block.
  Vectors<F, V> largest;
  for (int v = 0; v < V; ++v) {
    largest[v] = F::set(E::hidden);
  }
  for (std::ptrdiff_t group = block.first_group; group < block.groups; ++group) {
    const T* packed = block.keys + group * tile.dim * kRowGroup;
    for (int r = 0; r < kRowGroup; r += F::tile_rows) {
      const std::ptrdiff_t first_key = group * kRowGroup + r;
      score_tile<F, F::tile_rows, V, Kind, How>(packed + r, block.bias + first_key, tile, lane, first_key, largest);
    }
  }
  if constexpr (How == Finish::later) {
    finish_scores<F, V>(block, tile, lane, largest);
  }

  // 2. The new reference. It moves only where the block holds a larger score, so that a block without one leaves a lane
  // as it was; `reference` is the same relative to the block's offset.
  Vectors<F, V> reference;
  Vectors<F, V> scale;
  F weight_seen = F::zero();
  const F offset = F::set(block.offset);
  for (int v = 0; v < V; ++v) {
    const std::ptrdiff_t at = lane + v * F::width;
    const F old = F::load(state.max + at);
    const F relative = old - offset;
    const F top = ceil(largest[v]);
    reference[v] = max(top, relative);
    const F moved = select_less(relative, top, max(top + offset, old), old);
    scale[v] = exact_power(old - moved);
    moved.store(state.max + at);
    const F excess = largest[v] - reference[v];
    const F seen = F::load(state.excess + at);
    select_less(old, moved, excess, max(excess, seen)).store(state.excess + at);
    weight_seen = weight_seen + select_less(excess, F::set(E::flush), F::zero(), F::set(T(1)));
  }
  if (tile.skip_far && sum(weight_seen) == 0.0) {
    return;  // every weight of the block is 0
  }

  // 3. Weights, their sum, and the value columns beyond the last whole group.
  const std::ptrdiff_t whole = tile.value_dim / kRowGroup * kRowGroup;
  const std::ptrdiff_t remainder = tile.guarded ? 0 : tile.value_dim - whole;
  for (int v = 0; v < V; ++v) {
    const std::ptrdiff_t at = lane + v * F::width;
    T* accumulator = state.accumulator + whole * kTile + at;
    const T* values = block.values + whole * kKeyBlock;
    T* scratch = tile.scratch + v * F::width;
    if (whole > 0 || tile.guarded) {
      weigh_remainder<F, true>(remainder, values, first, keys, reference[v], scale[v], scratch, state.sum + at,
                               accumulator);
    } else {
      weigh_remainder<F, false>(remainder, values, first, keys, reference[v], scale[v], scratch, state.sum + at,
                                accumulator);
    }
  }

  // 4. Whole groups of value columns.
  if (tile.guarded) {
    for (int v = 0; v < V; ++v) {
      sum_guarded<F>(block, tile, lane, v, scale[v], state.accumulator);
    }
    return;
  }
  for (std::ptrdiff_t c = 0; c < whole; c += F::tile_rows) {
    const T* values = block.values + c / kRowGroup * kRowGroup * kKeyBlock + c % kRowGroup;
    sum_tile<F, F::tile_rows, V>(values, first, keys, scale, tile.scratch, state.accumulator + c * kTile + lane);
  }
}

template <class F, TileScore Kind, Finish How>
void absorb_lanes(const ExactBlock<typename F::Scalar>& block, const ExactTile<typename F::Scalar>& tile,
                  const ExactState<typename F::Scalar>& state) noexcept {
  std::ptrdiff_t lane = 0;
  if constexpr (F::tile_vectors == 3) {
    for (; lane + 2 * F::width < tile.lanes; lane += 3 * F::width) {
      absorb_vectors<F, 3, Kind, How>(block, tile, state, lane);
    }
    if (lane + F::width < tile.lanes) {
      absorb_vectors<F, 2, Kind, How>(block, tile, state, lane);
      lane += 2 * F::width;
    }
  }
  for (; lane < tile.lanes; lane += F::width) {
    absorb_vectors<F, 1, Kind, How>(block, tile, state, lane);
  }
}

template <class F, TileScore Kind>
void absorb_kind(const ExactBlock<typename F::Scalar>& block, const ExactTile<typename F::Scalar>& tile,
                 const ExactState<typename F::Scalar>& state) noexcept {
  if (tile.cap.out != 0) {
    absorb_lanes<F, Kind, Finish::later>(block, tile, state);
  } else if (tile.mask != nullptr) {
    absorb_lanes<F, Kind, Finish::masked>(block, tile, state);
  } else {
    absorb_lanes<F, Kind, Finish::plain>(block, tile, state);
  }
}

template <class F>
void absorb_block(const ExactBlock<typename F::Scalar>& block, const ExactTile<typename F::Scalar>& tile,
                  const ExactState<typename F::Scalar>& state) noexcept {
  switch (tile.score) {
    case TileScore::dot:
      return absorb_kind<F, TileScore::dot>(block, tile, state);
    case TileScore::gaussian:
      return absorb_kind<F, TileScore::gaussian>(block, tile, state);
    case TileScore::isotropic:
      return absorb_kind<F, TileScore::isotropic>(block, tile, state);
  }
}
