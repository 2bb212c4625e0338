// One query against a block of keys as they lie in memory, lanes along the keys and then along the value columns. The
// same operations in the same order as exact_tile.inl, so the same bits. Included inside the namespace of one
// instruction set.

/// Brings the memory behind group `at` of the next block closer while this one is worked on.
template <class T>
inline void prefetch_next(const T* at, std::ptrdiff_t bytes) noexcept {
  const char* byte = reinterpret_cast<const char*>(at);
  for (std::ptrdiff_t i = 0; i < bytes; i += 64) {
    __builtin_prefetch(byte + i, 0, 2);
  }
}

/// Raw scores of F::width keys from `rows` on; `square` takes the largest |k|^2.
template <class F, TileScore Kind, bool Measure>
inline void score_keys(const typename F::Scalar* rows, const ExactRows<typename F::Scalar>& block,
                       const ExactQuery<typename F::Scalar>& query, typename F::Scalar* scores, F& square) noexcept {
  using T = typename F::Scalar;
  F acc = F::zero();
  F total = F::zero();  // of the chains before
  F norm = F::zero();
  const auto next_chain = [&](std::ptrdiff_t l) {
    if (l > 0 && l % kChain == 0) {
      total = l == kChain ? acc : acc + total;
      acc = F::zero();
    }
  };
  const std::ptrdiff_t whole = query.dim / F::columns * F::columns;
  const bool packed = block.key_stride == query.dim;
  for (std::ptrdiff_t l = 0; l < whole; l += F::columns) {
    if (packed) {
      prefetch_next(rows + block.ahead * block.key_stride + l * F::width, F::columns * F::width * sizeof(T));
    }
    next_chain(l);
    Vectors<F, F::columns> k;
    load_columns(rows + l, block.key_stride, k);
#pragma GCC unroll 4
    for (int c = 0; c < F::columns; ++c) {
      const F factor = Kind == TileScore::gaussian ? F::set(query.factors[l + c]) : F::zero();
      acc = add_product<F, Kind>(k[c], F::set(query.query[l + c]), factor, acc);
      if constexpr (Measure) {
        norm = fma(k[c], k[c], norm);
      }
    }
  }
  for (std::ptrdiff_t l = whole; l < query.dim; ++l) {
    next_chain(l);
    T column[F::width];
    for (std::ptrdiff_t i = 0; i < F::width; ++i) {
      column[i] = rows[i * block.key_stride + l];
    }
    const F k = F::load(column);
    const F factor = Kind == TileScore::gaussian ? F::set(query.factors[l]) : F::zero();
    acc = add_product<F, Kind>(k, F::set(query.query[l]), factor, acc);
    if constexpr (Measure) {
      norm = fma(k, k, norm);
    }
  }
  (query.dim > kChain ? acc + total : acc).store(scores);
  if constexpr (Measure) {
    square = max(norm, square) + norm * F::zero();  // NaN and infinity stay
  }
}

/// The finished scores of a block in `scratch`; their maximum.
template <class F, TileScore Kind>
F score_row(const ExactRows<typename F::Scalar>& block, const ExactQuery<typename F::Scalar>& query,
            ExactRowStatistics<typename F::Scalar>* statistics) noexcept {
  using T = typename F::Scalar;
  F square = statistics == nullptr ? F::zero() : F::load(statistics->key_square);
  for (std::ptrdiff_t j = 0; j < block.count; j += F::width) {
    const std::ptrdiff_t at = j + F::width <= block.count ? j : block.count - F::width;  // the last ones again
    const T* rows = block.keys + at * block.key_stride;
    if (statistics != nullptr) {
      score_keys<F, Kind, true>(rows, block, query, query.scratch + at, square);
    } else {
      score_keys<F, Kind, false>(rows, block, query, query.scratch + at, square);
    }
  }
  if (statistics != nullptr) {
    square.store(statistics->key_square);
  }
  F largest = F::set(Exact<T>::hidden);
  for (std::ptrdiff_t j = 0; j < kKeyBlock; j += F::width) {
    const F acc = F::load(query.scratch + j);
    const F bias = F::load(block.bias + j);
    F s;
    if (query.cap.out != 0) {
      s = soft_cap(raw_score<F, Kind>(acc, query.factors), query.cap.in, query.cap.out) + bias;
    } else {
      s = Kind == TileScore::isotropic ? fnma(acc, F::set(query.factors[0]), bias) : acc + bias;
    }
    if (query.mask != nullptr) {
      s = masked(s, F::load(query.mask + j));
    }
    s = select_less(bias, F::set(Exact<T>::least), F::set(Exact<T>::hidden), s);
    s.store(query.scratch + j);
    largest = max(s, largest);
  }
  return largest;
}

/// C vectors of value columns from `values` on against the weights. The ranges come along; two further statistics are
/// taken in a loop of their own, as all together would not fit the registers. `next` runs through the values of the
/// block to come, a cache line for every second key of either loop and vector, so that memory is never idle.
template <class F, int C>
inline void sum_columns(const typename F::Scalar* values, std::ptrdiff_t stride, std::ptrdiff_t count, const char* next,
                        const typename F::Scalar* weights, F scale, typename F::Scalar* target,
                        ExactRowStatistics<typename F::Scalar>* statistics, std::ptrdiff_t c) noexcept {
  using T = typename F::Scalar;
  constexpr std::ptrdiff_t kLine = 64;
  Vectors<F, C> acc;
  for (int v = 0; v < C; ++v) {
    acc[v] = F::zero();
  }
  const auto add = [&] {
    for (int v = 0; v < C; ++v) {
      T* at = target + v * F::width;
      fma(F::load(at), scale, acc[v]).store(at);
    }
  };
  if (statistics == nullptr) {
    for (std::ptrdiff_t j = 0; j < count; ++j) {
#pragma GCC unroll 2
      for (int v = 0; v < C; ++v) {
        acc[v] = fma(F::load(values + j * stride + v * F::width), F::set(weights[j]), acc[v]);
      }
    }
    add();
    return;
  }
  Vectors<F, C> low;
  Vectors<F, C> high;
#pragma GCC unroll 2
  for (int v = 0; v < C; ++v) {
    low[v] = F::load(statistics->value_min + c + v * F::width);
    high[v] = F::load(statistics->value_max + c + v * F::width);
  }
  for (std::ptrdiff_t j = 0; j < count; ++j) {
    __builtin_prefetch(next + j * (C * kLine / 2), 0, 2);
    const F weight = F::set(weights[j]);
#pragma GCC unroll 2
    for (int v = 0; v < C; ++v) {
      const F x = F::load(values + j * stride + v * F::width);
      acc[v] = fma(x, weight, acc[v]);
      low[v] = min(x, low[v]);
      high[v] = max(x, high[v]);
    }
  }
  add();
  const char* rest = next + count * (C * kLine / 2);
  Vectors<F, C> total;
  F smallest = F::load(statistics->smallest);
#pragma GCC unroll 2
  for (int v = 0; v < C; ++v) {
    low[v].store(statistics->value_min + c + v * F::width);
    high[v].store(statistics->value_max + c + v * F::width);
    total[v] = F::load(statistics->value_sum + c + v * F::width);
  }
  for (std::ptrdiff_t j = 0; j < count; ++j) {
    __builtin_prefetch(rest + j * (C * kLine / 2), 0, 2);
#pragma GCC unroll 2
    for (int v = 0; v < C; ++v) {
      const F x = F::load(values + j * stride + v * F::width);
      const F size = abs(x);
      smallest = min(select_less(F::zero(), size, size, F::set(-Exact<T>::hidden)), smallest);
      total[v] = total[v] + x;
    }
  }
  smallest.store(statistics->smallest);
#pragma GCC unroll 2
  for (int v = 0; v < C; ++v) {
    total[v].store(statistics->value_sum + c + v * F::width);
  }
}

template <class F, TileScore Kind>
void absorb_row_kind(const ExactRows<typename F::Scalar>& block, const ExactQuery<typename F::Scalar>& query,
                     const ExactState<typename F::Scalar>& state,
                     ExactRowStatistics<typename F::Scalar>* statistics) noexcept {
  using T = typename F::Scalar;
  using E = Exact<T>;
  T lanes[F::width];
  score_row<F, Kind>(block, query, statistics).store(lanes);
  T top = E::hidden;
  for (const T x : lanes) {
    top = x > top ? x : top;
  }

  // As in absorb_vectors, for one lane.
  const F largest = F::set(top);
  const F old = F::set(*state.max);
  const F relative = old - F::set(block.offset);
  const F reference = max(ceil(largest), relative);
  const F moved = select_less(relative, ceil(largest), max(ceil(largest) + F::set(block.offset), old), old);
  const F scale = exact_power(old - moved);
  const F excess = largest - reference;
  select_less(old, moved, excess, max(excess, F::set(*state.excess))).store(lanes);
  *state.excess = lanes[0];
  moved.store(lanes);
  *state.max = lanes[0];

  T* weights = query.scratch;
  constexpr int N = 2;
  for (std::ptrdiff_t j = 0; j < kKeyBlock; j += N * F::width) {
    Vectors<F, N> p;
    for (int n = 0; n < N; ++n) {
      p[n] = F::load(weights + j + n * F::width) - reference;
    }
    exp2_negative<F, N>(p);
    for (int n = 0; n < N; ++n) {
      p[n].store(weights + j + n * F::width);
    }
  }
  T total = T(0);
  for (std::ptrdiff_t j = 0; j < block.count; ++j) {
    total = total + weights[j];
  }
  fma(F::set(*state.sum), scale, F::set(total)).store(lanes);
  *state.sum = lanes[0];

  // Prefetching past the end of an array does no harm.
  const bool packed = block.ahead > 0 && block.value_stride == query.value_dim;
  const char* next = reinterpret_cast<const char*>(packed ? block.values + block.ahead * block.value_stride : weights);
  const std::ptrdiff_t line = packed ? F::width * sizeof(T) : 0;
  const std::ptrdiff_t whole = query.value_dim / F::width * F::width;
  std::ptrdiff_t c = 0;
  for (; c + F::width < whole; c += 2 * F::width) {
    sum_columns<F, 2>(block.values + c, block.value_stride, block.count, next + c / F::width * block.count * line,
                      weights, scale, state.accumulator + c, statistics, c);
  }
  if (c < whole) {
    sum_columns<F, 1>(block.values + c, block.value_stride, block.count, next + c / F::width * block.count * line,
                      weights, scale, state.accumulator + c, statistics, c);
  }
  const std::ptrdiff_t rest = query.value_dim - whole;
  if (rest > 0) {
    T* padded = query.scratch + kKeyBlock;
    for (std::ptrdiff_t j = 0; j < block.count; ++j) {
      for (std::ptrdiff_t i = 0; i < F::width; ++i) {
        padded[j * F::width + i] = i < rest ? block.values[j * block.value_stride + whole + i] : T(0);
      }
    }
    sum_columns<F, 1>(padded, F::width, block.count, reinterpret_cast<const char*>(weights), weights, scale,
                      state.accumulator + whole, statistics, whole);
  }
}

template <class F>
void absorb_row(const ExactRows<typename F::Scalar>& block, const ExactQuery<typename F::Scalar>& query,
                const ExactState<typename F::Scalar>& state,
                ExactRowStatistics<typename F::Scalar>* statistics) noexcept {
  switch (query.score) {
    case TileScore::dot:
      return absorb_row_kind<F, TileScore::dot>(block, query, state, statistics);
    case TileScore::gaussian:
      return absorb_row_kind<F, TileScore::gaussian>(block, query, state, statistics);
    case TileScore::isotropic:
      return absorb_row_kind<F, TileScore::isotropic>(block, query, state, statistics);
  }
}

/// The state of one row into lane 0 of `totals`, as flush_tile does it.
template <class F>
void flush_row(std::ptrdiff_t value_dim, const ExactState<typename F::Scalar>& state,
               const ExactTotals& totals) noexcept {
  using E = Exact<typename F::Scalar>;
  const F64 live_max = F64::set(static_cast<double>(*state.max));
  const F64 total_max = F64::set(*totals.max);
  const F64 new_max = max(live_max, total_max);
  const F64 total_scale = exact_power(total_max - new_max);
  const F64 live_scale = exact_power(live_max - new_max);
  double lanes[F64::width];
  const auto put = [&](F64 x, double* target) {
    x.store(lanes);
    *target = lanes[0];
  };
  put(max(live_max + F64::set(static_cast<double>(*state.excess)), F64::set(*totals.top)), totals.top);
  put(new_max, totals.max);
  const auto add = [&](typename F::Scalar& live, double* target) {
    put(fma(F64::set(*target), total_scale, F64::set(static_cast<double>(live)) * live_scale), target);
    live = 0;
  };
  add(*state.sum, totals.sum);
  for (std::ptrdiff_t c = 0; c < value_dim; ++c) {
    add(state.accumulator[c], totals.accumulator + c * kTile);
  }
  *state.max = E::least;
  *state.excess = E::hidden;
}
