// Packing, statistics and masks. Included inside the namespace of one instruction set.

inline F64 add_square(F32 x, F64 total) noexcept {
  const F64 low = widen_low(x);
  const F64 high = widen_high(x);
  return fma(high, high, fma(low, low, total));
}
inline F64 add_square(F64 x, F64 total) noexcept { return fma(x, x, total); }

template <class F>
double measure_row(const typename F::Scalar* row, std::ptrdiff_t padded, typename F::Scalar* low,
                   typename F::Scalar* high, typename F::Scalar* smallest) noexcept {
  F64 squares = F64::zero();
  for (std::ptrdiff_t c = 0; c < padded; c += F::width) {
    const F x = F::load(row + c);
    min(x, F::load(low + c)).store(low + c);
    max(x, F::load(high + c)).store(high + c);
    const F old = F::load(smallest + c % kPadding);
    const F size = abs(x);
    select_less(F::zero(), size, min(size, old), old).store(smallest + c % kPadding);
    squares = add_square(x, squares);
  }
  return sum(squares);
}

template <class T>
void interleave_rows(const T* rows, std::ptrdiff_t stride, std::ptrdiff_t dim, T* out) noexcept {
  for (std::ptrdiff_t l = 0; l < dim; ++l) {
#pragma GCC unroll 8
    for (std::ptrdiff_t r = 0; r < kRowGroup; ++r) {
      out[l * kRowGroup + r] = rows[r * stride + l];
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
                 std::ptrdiff_t keys, bool fresh, typename F::Scalar* mask) noexcept {
  using T = typename F::Scalar;
  using E = Exact<T>;
  F largest = F::set(E::hidden);
  for (std::ptrdiff_t lane = 0; lane < lanes; lane += F::width) {
    const F from = F::load(first + lane);
    const F to = F::load(last + lane);
    for (std::ptrdiff_t j = 0; j < keys; ++j) {
      const F at = F::set(static_cast<T>(j));
      T* target = mask + j * kTile + lane;
      F m = fresh ? F::zero() : F::load(target);
      m = select_less(at, from, F::set(E::hidden), m);
      m = select_less(at, to, m, F::set(E::hidden));
      m.store(target);
      largest = max(m, largest);
    }
  }
  return any_visible(largest);
}
