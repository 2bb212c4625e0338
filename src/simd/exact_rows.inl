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

template <class F, TileScore Kind>
[[gnu::always_inline]] inline F add_product(F k, F q, F factor, F acc) noexcept {
  if constexpr (Kind == TileScore::dot) {
    return fma(k, q, acc);
  } else if constexpr (Kind == TileScore::isotropic) {
    const F t = q - k;
    return fma(t, t, acc);
  } else {
    const F t = (q - k) * factor;
    return fnma(t, t, acc);
  }
}

/// Raw scores of F::width keys from `rows` on; `square` takes the largest |k|^2.
template <class F, TileScore Kind, bool Measure>
inline void score_keys(const typename F::Scalar* rows, const ExactRows<typename F::Scalar>& block,
                       const ExactQuery<typename F::Scalar>& query, typename F::Scalar* scores, F& square) noexcept {
  using T = typename F::Scalar;
  F acc = F::zero();
  F norm = F::zero();
  const std::ptrdiff_t whole = query.dim / F::columns * F::columns;
  const bool packed = block.key_stride == query.dim;
  for (std::ptrdiff_t l = 0; l < whole; l += F::columns) {
    if (packed) {
      prefetch_next(rows + block.ahead * block.key_stride + l * F::width, F::columns * F::width * sizeof(T));
    }
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
  acc.store(scores);
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
    F s = raw_score<F, Kind>(F::load(query.scratch + j), query.factors);
    const F bias = F::load(block.bias + j);
    if (query.cap.out != 0) {
      s = soft_cap(s, query.cap.in, query.cap.out) + bias;
    } else if (Kind == TileScore::isotropic) {
      s = fnma(F::load(query.scratch + j), F::set(query.factors[0]), bias);
    } else {
      s = s + bias;
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

/// F::width value columns from `values` on against the weights.
template <class F, bool Measure>
inline void sum_columns(const typename F::Scalar* values, std::ptrdiff_t stride, std::ptrdiff_t count,
                        std::ptrdiff_t ahead, const typename F::Scalar* weights, F scale, typename F::Scalar* target,
                        ExactRowStatistics<typename F::Scalar>* statistics, std::ptrdiff_t c) noexcept {
  F acc = F::zero();
  F low;
  F high;
  F smallest;
  F total = F::zero();
  if constexpr (Measure) {
    low = F::load(statistics->value_min + c);
    high = F::load(statistics->value_max + c);
    smallest = F::load(statistics->smallest);
  }
  for (std::ptrdiff_t j = 0; j < count; ++j) {
    const auto* row = values + j * stride;
    if (ahead > 0) {
      __builtin_prefetch(row + ahead * stride, 0, 2);
    }
    const F x = F::load(row);
    acc = fma(x, F::set(weights[j]), acc);
    if constexpr (Measure) {
      low = min(x, low);
      high = max(x, high);
      const F size = abs(x);
      smallest = select_less(F::zero(), size, min(size, smallest), smallest);
      total = total + x;
    }
  }
  fma(F::load(target), scale, acc).store(target);
  if constexpr (Measure) {
    low.store(statistics->value_min + c);
    high.store(statistics->value_max + c);
    smallest.store(statistics->smallest);
    (F::load(statistics->value_sum + c) + total).store(statistics->value_sum + c);
  }
}

template <class F>
inline void sum_columns(const typename F::Scalar* values, std::ptrdiff_t stride, std::ptrdiff_t count,
                        std::ptrdiff_t ahead, const typename F::Scalar* weights, F scale, typename F::Scalar* target,
                        ExactRowStatistics<typename F::Scalar>* statistics, std::ptrdiff_t c) noexcept {
  if (statistics != nullptr) {
    sum_columns<F, true>(values, stride, count, ahead, weights, scale, target, statistics, c);
  } else {
    sum_columns<F, false>(values, stride, count, ahead, weights, scale, target, statistics, c);
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

  const std::ptrdiff_t whole = query.value_dim / F::width * F::width;
  for (std::ptrdiff_t c = 0; c < whole; c += F::width) {
    sum_columns<F>(block.values + c, block.value_stride, block.count, block.ahead, weights, scale,
                   state.accumulator + c, statistics, c);
  }
  const std::ptrdiff_t rest = query.value_dim - whole;
  if (rest > 0) {
    T* padded = query.scratch + kKeyBlock;
    for (std::ptrdiff_t j = 0; j < block.count; ++j) {
      for (std::ptrdiff_t c = 0; c < F::width; ++c) {
        padded[j * F::width + c] = c < rest ? block.values[j * block.value_stride + whole + c] : T(0);
      }
    }
    sum_columns<F>(padded, F::width, block.count, 0, weights, scale, state.accumulator + whole, statistics, whole);
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
