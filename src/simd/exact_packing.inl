// Packing, statistics and masks. Included inside the namespace of one instruction set.

inline F64 add_square(F32 x, F64 total) noexcept {
  const F64 low = widen_low(x);
  const F64 high = widen_high(x);
  return fma(high, high, fma(low, low, total));
}
inline F64 add_square(F64 x, F64 total) noexcept { return fma(x, x, total); }

template <class F>
void row_squares(const typename F::Scalar* rows, std::ptrdiff_t stride, std::ptrdiff_t count, std::ptrdiff_t padded,
                 double* squares) noexcept {
  for (std::ptrdiff_t r = 0; r < count; ++r) {
    F64 total = F64::zero();
    for (std::ptrdiff_t c = 0; c < padded; c += F::width) {
      total = add_square(F::load(rows + r * stride + c), total);
    }
    squares[r] = sum(total);
  }
}

template <class F>
bool column_ranges(const typename F::Scalar* rows, std::ptrdiff_t stride, std::ptrdiff_t count, std::ptrdiff_t padded,
                   const ExactRanges<typename F::Scalar>& out) noexcept {
  F poison = F::zero();
  for (std::ptrdiff_t c = 0; c < padded; c += F::width) {
    F low = F::load(out.low + c);
    F high = F::load(out.high + c);
    if (out.smallest == nullptr) {
      for (std::ptrdiff_t r = 0; r < count; ++r) {
        const F x = F::load(rows + r * stride + c);
        low = min(x, low);
        high = max(x, high);
        poison = fma(x, F::zero(), poison);
      }
    } else {
      F smallest = F::load(out.smallest + c % kPadding);
      F total = F::load(out.sum + c);
      for (std::ptrdiff_t r = 0; r < count; ++r) {
        const F x = F::load(rows + r * stride + c);
        const F size = abs(x);
        low = min(x, low);
        high = max(x, high);
        smallest = min(select_less(F::zero(), size, size, F::set(-Exact<typename F::Scalar>::hidden)), smallest);
        total = total + x;
        poison = fma(x, F::zero(), poison);
      }
      smallest.store(out.smallest + c % kPadding);
      total.store(out.sum + c);
    }
    low.store(out.low + c);
    high.store(out.high + c);
  }
  return sum(poison) == 0.0;
}

template <class F>
void interleave_rows(const typename F::Scalar* rows, std::ptrdiff_t stride, std::ptrdiff_t dim,
                     typename F::Scalar* out) noexcept {
  using T = typename F::Scalar;
  constexpr std::ptrdiff_t kGroups = F::width / kRowGroup;  // filled by one vector
  const std::ptrdiff_t whole = dim / F::columns * F::columns;
  for (std::ptrdiff_t group = 0; group < kPackedRows / kRowGroup; group += kGroups) {
    const T* from = rows + group * kRowGroup * stride;
    T* to = out + group * kRowGroup * dim;
    T lanes[F::width];
    const auto put = [&](F column, std::ptrdiff_t l) {
      column.store(lanes);
#pragma GCC unroll 2
      for (std::ptrdiff_t g = 0; g < kGroups; ++g) {
        __builtin_memcpy(to + (g * dim + l) * kRowGroup, lanes + g * kRowGroup, kRowGroup * sizeof(T));
      }
    };
    for (std::ptrdiff_t l = 0; l < whole; l += F::columns) {
      Vectors<F, F::columns> column;
      load_columns(from + l, stride, column);
#pragma GCC unroll 4
      for (int c = 0; c < F::columns; ++c) {
        put(column[c], l + c);
      }
    }
    for (std::ptrdiff_t l = whole; l < dim; ++l) {
      T column[F::width];
      for (std::ptrdiff_t i = 0; i < F::width; ++i) {
        column[i] = from[i * stride + l];
      }
      put(F::load(column), l);
    }
  }
}

template <class T>
void pack_value_rows(const T* rows, std::ptrdiff_t stride, std::ptrdiff_t value_dim, std::ptrdiff_t first,
                     T* values) noexcept {
  const std::ptrdiff_t whole = value_dim / kRowGroup * kRowGroup;
  const std::ptrdiff_t rest = value_dim - whole;
  for (std::ptrdiff_t c = 0; c < whole; c += kRowGroup) {
    T* to = values + c * kKeyBlock + first * kRowGroup;
    for (std::ptrdiff_t r = 0; r < kPackedRows; ++r) {
      __builtin_memcpy(to + r * kRowGroup, rows + r * stride + c, kRowGroup * sizeof(T));
    }
  }
  T* to = values + whole * kKeyBlock + first * rest;
  for (std::ptrdiff_t r = 0; r < kPackedRows; ++r) {
    for (std::ptrdiff_t i = 0; i < rest; ++i) {
      to[r * rest + i] = rows[r * stride + whole + i];
    }
  }
}

inline void measure_query_row(const double* row, std::ptrdiff_t padded, const double* weights, double* square,
                              double* weighted) noexcept {
  F64 squares = F64::zero();
  F64 products = F64::zero();
  for (std::ptrdiff_t c = 0; c < padded; c += F64::width) {
    const F64 x = F64::load(row + c);
    squares = fma(x, x, squares);
    products = fma(abs(x), F64::load(weights + c), products);
  }
  *square = sum(squares);
  *weighted = sum(products);
}

template <class T>
void pack_query_rows(const double* rows, std::ptrdiff_t stride, std::ptrdiff_t lanes, std::ptrdiff_t dim, double factor,
                     T* out) noexcept {
  for (std::ptrdiff_t l = 0; l < dim; ++l) {
    for (std::ptrdiff_t i = 0; i < lanes; ++i) {
      out[l * kTile + i] = static_cast<T>(rows[i * stride + l] * factor);
    }
    for (std::ptrdiff_t i = lanes; i < kTile; ++i) {
      out[l * kTile + i] = T(0);
    }
  }
}

/// Largest element over the lanes in use: is anything visible?
template <class F>
inline bool any_visible(F largest) noexcept {
  typename F::Scalar lanes[F::width];
  largest.store(lanes);
  for (const auto x : lanes) {
    if (!(x < Exact<typename F::Scalar>::least)) {
      return true;
    }
  }
  return false;
}

template <class F>
bool mask_pairs(const typename F::Scalar* rows, std::ptrdiff_t stride, std::ptrdiff_t lanes, std::ptrdiff_t keys,
                typename F::Scalar floor, typename F::Scalar* mask, typename F::Scalar* size) noexcept {
  using T = typename F::Scalar;
  using E = Exact<T>;
  F largest = F::set(E::hidden);
  for (std::ptrdiff_t lane = 0; lane < lanes; lane += F::width) {
    F seen = F::load(size + lane);
    F poison = F::zero();
    for (std::ptrdiff_t j = 0; j < keys; j += F::columns) {
      Vectors<F, F::columns> column;
      load_columns(rows + lane * stride + j, stride, column);
#pragma GCC unroll 4
      for (int c = 0; c < F::columns; ++c) {
        const F scaled = column[c] * F::set(T(kLog2E));
        // Numbers as low as the least finite one stay finite: they do not hide.
        const F m = select_less(column[c], F::set(E::least), F::set(E::hidden), max(F::set(floor), scaled));
        const F kept = select_less(column[c], F::set(E::least), F::zero(), abs(m));
        m.store(mask + (j + c) * kTile + lane);
        seen = max(kept, seen);
        poison = fma(select_less(column[c], F::set(E::least), F::zero(), column[c]), F::zero(), poison);
        largest = max(m, largest);
      }
    }
    (seen + poison).store(size + lane);
    largest = largest + poison;
  }
  return any_visible(largest);
}

template <class F>
bool mask_ranges(const typename F::Scalar* first, const typename F::Scalar* last, std::ptrdiff_t lanes,
                 std::ptrdiff_t keys, typename F::Scalar* mask) noexcept {
  using T = typename F::Scalar;
  using E = Exact<T>;
  F largest = F::set(E::hidden);
  for (std::ptrdiff_t lane = 0; lane < lanes; lane += F::width) {
    const F from = F::load(first + lane);
    const F to = F::load(last + lane);
    for (std::ptrdiff_t j = 0; j < keys; ++j) {
      const F at = F::set(static_cast<T>(j));
      T* target = mask + j * kTile + lane;
      const F inside = select_less(at, to, F::zero(), F::set(E::hidden));
      const F m = select_less(at, from, F::set(E::hidden), inside);
      m.store(target);
      largest = max(m, largest);
    }
  }
  return any_visible(largest);
}
