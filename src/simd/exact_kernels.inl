// Included inside the namespace of one instruction set, after its lanes. See exact_kernels.hpp.

/// What differs between the two arithmetics.
template <class T>
struct Exact;
template <>
struct Exact<float> {
  static constexpr float rounder = kRounder32;
  static constexpr float flush = -125.0F;  // 2^x is a normal number from here on
  static constexpr float least = -0x1.fffffep127F;
  static constexpr float hidden = -__builtin_inff();
  static constexpr int degree = 6;
  static constexpr const float* polynomial = kExp2F32;
};
template <>
struct Exact<double> {
  static constexpr double rounder = kRounder64;
  static constexpr double flush = -1021.0;
  static constexpr double least = -0x1.fffffffffffffp1023;
  static constexpr double hidden = -__builtin_inf();
  static constexpr int degree = 11;
  static constexpr const double* polynomial = kExp2F64;
};

/// Queries whose scores are kept at once, side by side in the scratch.
template <class F>
inline constexpr std::ptrdiff_t kStride = F::tile_vectors* F::width;

template <class F, int N>
using Vectors = F[static_cast<std::size_t>(N)];
template <class F, int R, int V>
using Matrix = Vectors<Vectors<F, V>, R>;

/// 2^x for N vectors of x <= 0: 0 below `flush`, NaN for NaN; relative error kExp2MaxRel (exp2_constants.hpp). Adding
/// the rounder leaves the nearest whole number in the low bits, and subtracting it is exact, so the fraction is exact
/// too. Step by step for all N at once: the processor's schedulers are too short for one long chain after another.
template <class F, int N>
inline void exp2_negative(Vectors<F, N>& x) noexcept {
  using T = typename F::Scalar;
  using E = Exact<T>;
  Vectors<F, N> shifted;
  Vectors<F, N> fraction;
  Vectors<F, N> h;
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) {
    shifted[n] = x[n] + F::set(E::rounder);
  }
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) {
    fraction[n] = x[n] - (shifted[n] - F::set(E::rounder));
    h[n] = F::set(E::polynomial[E::degree]);
  }
#pragma GCC unroll 16
  for (int k = E::degree - 1; k >= 0; --k) {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      h[n] = fma(h[n], fraction[n], F::set(E::polynomial[k]));
    }
  }
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) {
    x[n] = shift_exponent(h[n], shifted[n], x[n], F::set(E::flush));
  }
}

/// 2^x for whole x <= 0, exactly; 0 below `flush`.
template <class F>
inline F exact_power(F x) noexcept {
  using E = Exact<typename F::Scalar>;
  const F power = power_of_two(max(x, F::set(E::flush)));
  return select_less(x, F::set(E::flush), F::zero(), power);
}

/// Scores of R keys against V vectors of queries, stored and folded into the running maximum.
template <class F, int R, int V, TileScore Kind, bool Limited>
inline void score_tile(const typename F::Scalar* keys, const typename F::Scalar* bias,
                       const ExactTile<typename F::Scalar>& tile, std::ptrdiff_t lane, std::ptrdiff_t first_key,
                       Vectors<F, V>& largest) noexcept {
  using T = typename F::Scalar;
  const T* queries = tile.queries + lane;
  Matrix<F, R, V> acc;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      acc[r][v] = F::zero();
    }
  }
  for (std::ptrdiff_t l = 0; l < tile.dim; ++l) {
    Vectors<F, V> q;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      q[v] = F::load(queries + l * kTile + v * F::width);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const F k = F::set(keys[l * kRowGroup + r]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        if constexpr (Kind == TileScore::dot) {
          acc[r][v] = fma(k, q[v], acc[r][v]);
        } else if constexpr (Kind == TileScore::isotropic) {
          const F t = q[v] - k;
          acc[r][v] = fma(t, t, acc[r][v]);
        } else {
          const F t = (q[v] - k) * F::set(tile.factors[l]);
          acc[r][v] = fnma(t, t, acc[r][v]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const F b = F::set(bias[r]);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      F s = Kind == TileScore::isotropic ? fnma(acc[r][v], F::set(tile.factors[0]), b) : acc[r][v] + b;
      if constexpr (Limited) {
        const F limit = F::load(tile.limits + lane + v * F::width);
        s = select_less(F::set(static_cast<T>(first_key + r)), limit, s, F::set(Exact<T>::hidden));
      }
      s.store(tile.scratch + (first_key + r) * kStride<F> + v * F::width);
      largest[v] = max(s, largest[v]);
    }
  }
}

/// Weights of one vector of queries, their sum, and the value columns that do not fill a group of eight.
template <class F, int R, bool Keep>
inline void weigh_vector(const typename F::Scalar* values, std::ptrdiff_t keys, F reference, F scale,
                         typename F::Scalar* scratch, typename F::Scalar* sum,
                         typename F::Scalar* accumulator) noexcept {
  F total = F::zero();
  Vectors<F, R + (R == 0 ? 1 : 0)> acc;  // no array of length 0
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    acc[r] = F::zero();
  }
  constexpr int N = F::tile_vectors == 3 ? 4 : 2;  // divides kRowGroup
  for (std::ptrdiff_t j = 0; j < keys; j += N) {
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
inline void sum_tile(const typename F::Scalar* values, std::ptrdiff_t keys, const Vectors<F, V>& scale,
                     const typename F::Scalar* scratch, typename F::Scalar* accumulator) noexcept {
  Matrix<F, R, V> acc;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      acc[r][v] = F::zero();
    }
  }
  for (std::ptrdiff_t j = 0; j < keys; ++j) {
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
  const F limit = F::load(tile.limits + lane);
  const std::ptrdiff_t whole = tile.value_dim / kRowGroup * kRowGroup;
  for (std::ptrdiff_t c = 0; c < tile.value_dim; ++c) {
    const std::ptrdiff_t columns = c < whole ? kRowGroup : tile.value_dim - whole;
    const T* values = block.values + c / kRowGroup * kRowGroup * kKeyBlock + c % kRowGroup;
    F acc = F::zero();
    for (std::ptrdiff_t j = 0; j < block.groups * kRowGroup; ++j) {
      const F value = select_less(F::set(static_cast<T>(j)), limit, F::set(values[j * columns]), F::zero());
      acc = fma(value, F::load(tile.scratch + j * kStride<F> + v * F::width), acc);
    }
    T* target = accumulator + c * kTile + lane;
    fma(F::load(target), scale, acc).store(target);
  }
}

template <class F, bool Keep>
inline void weigh_remainder(std::ptrdiff_t columns, const typename F::Scalar* values, std::ptrdiff_t keys, F reference,
                            F scale, typename F::Scalar* scratch, typename F::Scalar* sum,
                            typename F::Scalar* accumulator) noexcept {
  switch (columns) {
    case 0:
      return weigh_vector<F, 0, Keep>(values, keys, reference, scale, scratch, sum, accumulator);
    case 1:
      return weigh_vector<F, 1, Keep>(values, keys, reference, scale, scratch, sum, accumulator);
    case 2:
      return weigh_vector<F, 2, Keep>(values, keys, reference, scale, scratch, sum, accumulator);
    case 3:
      return weigh_vector<F, 3, Keep>(values, keys, reference, scale, scratch, sum, accumulator);
    case 4:
      return weigh_vector<F, 4, Keep>(values, keys, reference, scale, scratch, sum, accumulator);
    case 5:
      return weigh_vector<F, 5, Keep>(values, keys, reference, scale, scratch, sum, accumulator);
    case 6:
      return weigh_vector<F, 6, Keep>(values, keys, reference, scale, scratch, sum, accumulator);
    default:
      return weigh_vector<F, 7, Keep>(values, keys, reference, scale, scratch, sum, accumulator);
  }
}

/// One key block against V vectors of queries from `lane` on.
template <class F, int V, TileScore Kind, bool Limited>
void absorb_vectors(const ExactBlock<typename F::Scalar>& block, const ExactTile<typename F::Scalar>& tile,
                    const ExactState<typename F::Scalar>& state, std::ptrdiff_t lane) noexcept {
  using T = typename F::Scalar;
  using E = Exact<T>;
  const std::ptrdiff_t keys = block.groups * kRowGroup;

  // 1. Scores, and their maximum over the block.
  Vectors<F, V> largest;
  for (int v = 0; v < V; ++v) {
    largest[v] = F::set(E::hidden);
  }
  for (std::ptrdiff_t group = 0; group < block.groups; ++group) {
    const T* packed = block.keys + group * tile.dim * kRowGroup;
    for (int r = 0; r < kRowGroup; r += F::tile_rows) {
      const std::ptrdiff_t first_key = group * kRowGroup + r;
      score_tile<F, F::tile_rows, V, Kind, Limited>(packed + r, block.bias + first_key, tile, lane, first_key, largest);
    }
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
      weigh_remainder<F, true>(remainder, values, keys, reference[v], scale[v], scratch, state.sum + at, accumulator);
    } else {
      weigh_remainder<F, false>(remainder, values, keys, reference[v], scale[v], scratch, state.sum + at, accumulator);
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
    sum_tile<F, F::tile_rows, V>(values, keys, scale, tile.scratch, state.accumulator + c * kTile + lane);
  }
}

template <class F, TileScore Kind, bool Limited>
void absorb_lanes(const ExactBlock<typename F::Scalar>& block, const ExactTile<typename F::Scalar>& tile,
                  const ExactState<typename F::Scalar>& state) noexcept {
  std::ptrdiff_t lane = 0;
  if constexpr (F::tile_vectors == 3) {
    for (; lane + 2 * F::width < tile.lanes; lane += 3 * F::width) {
      absorb_vectors<F, 3, Kind, Limited>(block, tile, state, lane);
    }
    if (lane + F::width < tile.lanes) {
      absorb_vectors<F, 2, Kind, Limited>(block, tile, state, lane);
      lane += 2 * F::width;
    }
  }
  for (; lane < tile.lanes; lane += F::width) {
    absorb_vectors<F, 1, Kind, Limited>(block, tile, state, lane);
  }
}

template <class F, TileScore Kind>
void absorb_kind(const ExactBlock<typename F::Scalar>& block, const ExactTile<typename F::Scalar>& tile,
                 const ExactState<typename F::Scalar>& state) noexcept {
  if (tile.limits != nullptr) {
    absorb_lanes<F, Kind, true>(block, tile, state);
  } else {
    absorb_lanes<F, Kind, false>(block, tile, state);
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

/// total = scale total + live for the lanes of one F, live = 0.
inline void flush_vector(F32*, float* live, double* total, const F64 (&scale)[2]) noexcept {
  const F32 part = F32::load(live);
  fma(F64::load(total), scale[0], widen_low(part)).store(total);
  fma(F64::load(total + 8), scale[1], widen_high(part)).store(total + 8);
  F32::zero().store(live);
}
inline void flush_vector(F64*, double* live, double* total, const F64 (&scale)[2]) noexcept {
  fma(F64::load(total), scale[0], F64::load(live)).store(total);
  F64::zero().store(live);
}

template <class F>
void flush_tile(std::ptrdiff_t value_dim, const ExactState<typename F::Scalar>& state,
                const ExactTotals& totals) noexcept {
  for (std::ptrdiff_t lane = 0; lane < kTile; lane += F::width) {
    F64 scale[2];
    for (std::ptrdiff_t h = 0; h * F64::width < F::width; ++h) {
      double moved[F64::width];
      for (std::ptrdiff_t i = 0; i < F64::width; ++i) {
        moved[i] = static_cast<double>(state.max[lane + h * F64::width + i]);
      }
      double* old = totals.max + lane + h * F64::width;
      scale[h] = exact_power(F64::load(old) - F64::load(moved));
      F64::load(moved).store(old);
    }
    flush_vector(static_cast<F*>(nullptr), state.sum + lane, totals.sum + lane, scale);
    for (std::ptrdiff_t c = 0; c < value_dim; ++c) {
      flush_vector(static_cast<F*>(nullptr), state.accumulator + c * kTile + lane,
                   totals.accumulator + c * kTile + lane, scale);
    }
  }
}

inline void divide_tile(std::ptrdiff_t value_dim, const ExactTotals& totals, const double* low, const double* high,
                        double* out, double* largest) noexcept {
  for (std::ptrdiff_t lane = 0; lane < kTile; lane += F64::width) {
    const F64 sum_of_weights = F64::load(totals.sum + lane);
    F64 most_seen = F64::zero();
    F64 poison = F64::zero();
    for (std::ptrdiff_t c = 0; c < value_dim; ++c) {
      const F64 least = F64::set(low[c]);
      const F64 most = F64::set(high[c]);
      // Adding +0 makes every zero positive, whatever order the zeros were met in.
      F64 t = (F64::load(totals.accumulator + c * kTile + lane) + F64::zero()) / sum_of_weights;
      t = select_less(t, least, least, t);
      t = select_less(most, t, most, t);
      t.store(out + c * kTile + lane);
      most_seen = max(abs(t), most_seen);
      poison = fma(t, F64::zero(), poison);
    }
    (most_seen + poison).store(largest + lane);
  }
}

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

template <class F>
constexpr ExactKernels<typename F::Scalar> exact_kernels() noexcept {
  using T = typename F::Scalar;
  return {&absorb_block<F>,    &flush_tile<F>,     &divide_tile,       &measure_row<F>,
          &interleave_rows<T>, &measure_query_row, &pack_query_rows<T>};
}
