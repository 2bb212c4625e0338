// Included inside the namespace of one instruction set, after its lanes. See polynomial_kernels.hpp.

/// Registers of a tile.
template <class F, int N>
using Registers = F[static_cast<std::size_t>(N)];

/// acc[r][c] = sum over the block of features[r] * weighted[c], added to the totals.
template <class F, int R, int C>
inline void moment_tile(const typename F::Scalar* features, const typename F::Scalar* weighted, std::ptrdiff_t tokens,
                        double* totals, std::ptrdiff_t stride) noexcept {
  Registers<Registers<F, C>, R> acc;
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) {
      acc[r][c] = F::zero();
    }
  }
  for (std::ptrdiff_t i = 0; i < tokens; i += F::width) {
    Registers<F, C> column;
    for (int c = 0; c < C; ++c) {
      column[c] = F::load(weighted + c * tokens + i);
    }
    for (int r = 0; r < R; ++r) {
      const F feature = F::load(features + r * tokens + i);
      for (int c = 0; c < C; ++c) {
        acc[r][c] = fma(feature, column[c], acc[r][c]);
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) {
      totals[r * stride + c] += sum(acc[r][c]);
    }
  }
}

template <class F, int R>
inline void moment_rows(const typename F::Scalar* features, const typename F::Scalar* weighted, std::ptrdiff_t tokens,
                        std::ptrdiff_t columns, double* totals) noexcept {
  constexpr int kWide = F::tile_rows * F::tile_vectors >= 16 ? 3 : 2;
  std::ptrdiff_t c = 0;
  for (; c + kWide <= columns; c += kWide) {
    moment_tile<F, R, kWide>(features, weighted + c * tokens, tokens, totals + c, columns);
  }
  for (; c < columns; ++c) {
    moment_tile<F, R, 1>(features, weighted + c * tokens, tokens, totals + c, columns);
  }
}

/// Adds a group of features to their totals.
template <class F>
void flush_moments(const MomentBlock<typename F::Scalar>& block, const typename F::Scalar* group,
                   std::ptrdiff_t features, double* totals) noexcept {
  constexpr int kRows = F::tile_rows * F::tile_vectors >= 16 ? 8 : 2;
  std::ptrdiff_t r = 0;
  for (; r + kRows <= features; r += kRows) {
    moment_rows<F, kRows>(group + r * block.tokens, block.weighted, block.tokens, block.columns,
                          totals + r * block.columns);
  }
  for (; r < features; ++r) {
    moment_rows<F, 1>(group + r * block.tokens, block.weighted, block.tokens, block.columns,
                      totals + r * block.columns);
  }
}

inline constexpr int kMaxDegree = 64;

/// Walks the monomials depth first over `length` tokens, handing full groups to `flush(degree, group, features,
/// first)`.
template <class F, std::ptrdiff_t Group, class Flush>
inline void walk_monomials(const MonomialProgram& program, const typename F::Scalar* x, std::ptrdiff_t length,
                           typename F::Scalar* groups, const Flush& flush) noexcept {
  using T = typename F::Scalar;
  std::ptrdiff_t fill[kMaxDegree + 1];  // features waiting in the group of each degree
  std::ptrdiff_t next[kMaxDegree + 1];  // index of the first of them
  T* latest[kMaxDegree + 1];            // latest visited feature of each degree: the parent of what follows
  for (int t = 0; t <= program.degree; ++t) {
    fill[t] = 0;
    next[t] = program.offsets[t];
    latest[t] = groups + t * Group * length;
  }
  for (std::ptrdiff_t i = 0; i < length; i += F::width) {
    F::set(T(1)).store(groups + i);
  }
  flush(0, groups, std::ptrdiff_t{1}, std::ptrdiff_t{0});
  for (std::ptrdiff_t step = 0; step < program.count; ++step) {
    const int t = program.steps[step].degree;
    const T* variable = x + program.steps[step].variable * length;
    const T* parent = latest[t - 1];
    T* base = groups + t * Group * length;
    T* feature = base + fill[t] * length;
    for (std::ptrdiff_t i = 0; i < length; i += F::width) {
      (F::load(parent + i) * F::load(variable + i)).store(feature + i);
    }
    latest[t] = feature;  // stays intact until the group is refilled, after its own descendants
    if (++fill[t] == Group) {
      flush(t, base, Group, next[t]);
      next[t] += Group;
      fill[t] = 0;
    }
  }
  for (int t = 1; t <= program.degree; ++t) {
    if (fill[t] != 0) {
      flush(t, groups + t * Group * length, fill[t], next[t]);
    }
  }
}

template <class F>
void moments_kernel(const MomentBlock<typename F::Scalar>& block) noexcept {
  using T = typename F::Scalar;
  walk_monomials<F, kMomentGroup>(block.program, block.x, block.tokens, block.groups,
                                  [&](int, const T* group, std::ptrdiff_t features, std::ptrdiff_t first) {
                                    flush_moments<F>(block, group, features, block.totals + first * block.columns);
                                  });
}

template <class F>
void weigh_kernel(const WeighBlock<typename F::Scalar>& block) noexcept {
  for (std::ptrdiff_t c = 0; c < block.columns; ++c) {
    const auto* centred = block.centred + c * block.tokens;
    auto* weighted = block.weighted + c * block.tokens;
    F absolute = F::zero();
    F square = F::zero();
    for (std::ptrdiff_t i = 0; i < block.tokens; i += F::width) {
      const F value = F::load(centred + i);
      const F product = F::load(block.weight + i) * value;
      product.store(weighted + i);
      absolute = absolute + abs(product);
      square = fma(product, value, square);
    }
    block.absolute[c] += sum(absolute);
    block.square[c] += sum(square);
  }
}

/// partial[c][tokens of NV vectors] += sum over features of feature * moments[feature][c].
template <class F, int NV, int NC>
inline void evaluation_tile(const typename F::Scalar* group, std::ptrdiff_t features, std::ptrdiff_t tokens,
                            const typename F::Scalar* moments, std::ptrdiff_t columns,
                            typename F::Scalar* partial) noexcept {
  Registers<Registers<F, NV>, NC> acc;
  for (int c = 0; c < NC; ++c) {
    for (int v = 0; v < NV; ++v) {
      acc[c][v] = F::zero();
    }
  }
  for (std::ptrdiff_t f = 0; f < features; ++f) {
    Registers<F, NV> feature;
    for (int v = 0; v < NV; ++v) {
      feature[v] = F::load(group + f * tokens + v * F::width);
    }
    for (int c = 0; c < NC; ++c) {
      const F moment = F::set(moments[f * columns + c]);
      for (int v = 0; v < NV; ++v) {
        acc[c][v] = fma(feature[v], moment, acc[c][v]);
      }
    }
  }
  for (int c = 0; c < NC; ++c) {
    for (int v = 0; v < NV; ++v) {
      auto* target = partial + c * tokens + v * F::width;
      (F::load(target) + acc[c][v]).store(target);
    }
  }
}

template <class F, int NV>
inline void evaluation_columns(const typename F::Scalar* group, std::ptrdiff_t features, std::ptrdiff_t tokens,
                               const typename F::Scalar* moments, std::ptrdiff_t columns,
                               typename F::Scalar* partial) noexcept {
  constexpr int kWide = F::tile_rows * F::tile_vectors >= 16 ? 6 : 4;
  std::ptrdiff_t c = 0;
  for (; c + kWide <= columns; c += kWide) {
    evaluation_tile<F, NV, kWide>(group, features, tokens, moments + c, columns, partial + c * tokens);
  }
  switch (columns - c) {
    case 5:
      evaluation_tile<F, NV, 3>(group, features, tokens, moments + c, columns, partial + c * tokens);
      evaluation_tile<F, NV, 2>(group, features, tokens, moments + c + 3, columns, partial + (c + 3) * tokens);
      break;
    case 4:
      evaluation_tile<F, NV, 4>(group, features, tokens, moments + c, columns, partial + c * tokens);
      break;
    case 3:
      evaluation_tile<F, NV, 3>(group, features, tokens, moments + c, columns, partial + c * tokens);
      break;
    case 2:
      evaluation_tile<F, NV, 2>(group, features, tokens, moments + c, columns, partial + c * tokens);
      break;
    case 1:
      evaluation_tile<F, NV, 1>(group, features, tokens, moments + c, columns, partial + c * tokens);
      break;
    default:
      break;
  }
}

template <class T, class F>
inline void widen_add(const T* partial, std::ptrdiff_t count, double* sums) noexcept {
  for (std::ptrdiff_t i = 0; i < count; i += F::width) {
    const F part = F::load(partial + i);
    (F64::load(sums + i) + widen_low(part)).store(sums + i);
    if constexpr (F::width == 16) {
      (F64::load(sums + i + 8) + widen_high(part)).store(sums + i + 8);
    }
    F::zero().store(const_cast<T*>(partial) + i);
  }
}

template <class F>
void evaluate_kernel(const EvaluationBlock<typename F::Scalar>& block) noexcept {
  using T = typename F::Scalar;
  constexpr int kVectors = F::tile_rows * F::tile_vectors >= 16 ? 4 : 1;
  const std::ptrdiff_t slab = block.columns * block.tokens;
  for (std::ptrdiff_t i = 0; i < (block.program.degree + 1) * slab; i += F64::width) {
    F64::zero().store(block.sums + i);
  }
  for (std::ptrdiff_t i = 0; i < (block.program.degree + 1) * slab; i += F::width) {
    F::zero().store(block.partial + i);
  }
  int pending[kMaxDegree + 1] = {};
  walk_monomials<F, kEvaluationGroup>(block.program, block.x, block.tokens, block.groups,
                                      [&](int t, const T* group, std::ptrdiff_t features, std::ptrdiff_t first) {
                                        T* partial = block.partial + t * slab;
                                        for (std::ptrdiff_t i = 0; i < block.tokens; i += kVectors * F::width) {
                                          evaluation_columns<F, kVectors>(group + i, features, block.tokens,
                                                                          block.moments + first * block.columns,
                                                                          block.columns, partial + i);
                                        }
                                        if (++pending[t] == kEvaluationGroups) {
                                          widen_add<T, F>(partial, slab, block.sums + t * slab);
                                          pending[t] = 0;
                                        }
                                      });
  for (int t = 0; t <= block.program.degree; ++t) {
    if (pending[t] != 0) {
      widen_add<T, F>(block.partial + t * slab, slab, block.sums + t * slab);
    }
  }
}

/// Bound on sum w s^p |v - T| of column c for rows i: |v - T| is convex in v, so below its chord over [low, high].
inline F64 chord(const FinishBlock& block, std::ptrdiff_t c, std::ptrdiff_t i, F64 answer) noexcept {
  const F64 low = F64::set(block.low[c]);
  const F64 high = F64::set(block.high[c]);
  const F64 weight = F64::load(block.moment + i);
  const F64 weighted = F64::load(block.moments + c * block.tokens + i);
  const F64 loss = F64::load(block.moment_loss + i);
  const F64 size = max(abs(low), abs(high));
  const F64 off = fma(F64::load(block.moment_scale + i), F64::set(block.absolute[c]), fma(size, loss, loss));
  const F64 above = max(fma(high, weight, off) - weighted, F64::zero());
  const F64 below = max(weighted + fnma(low, weight, off), F64::zero());
  const F64 bound = fma(answer - low, above, (high - answer) * below) / (high - low);
  const F64 infinite = F64::set(__builtin_inf());
  return select_less(answer, low, infinite, select_less(high, answer, infinite, bound));
}

inline void finish_kernel(const FinishBlock& block) noexcept {
  const std::ptrdiff_t slab = block.stride_columns * block.tokens;
  for (std::ptrdiff_t i = 0; i < block.tokens; i += F64::width) {
    const F64 denominator = F64::load(block.denominator + i);
    const F64 scale = F64::set(1.0) / F64::load(block.denominator_low + i);
    const F64 error = F64::load(block.error + i);
    const F64 uniform = F64::load(block.uniform + i);
    const F64 rounding_scale = F64::load(block.rounding_scale + i);
    const F64 rounding_denominator = F64::load(block.rounding_denominator + i);
    const F64 tiny = F64::load(block.rounding_tiny + i);
    F64 approximation = F64::zero();
    F64 rounding = F64::zero();
    F64 poison = F64::zero();  // NaN as soon as one answer or bound is not finite; max and min alone would lose it
    for (std::ptrdiff_t c = 0; c < block.columns; ++c) {
      const double* sums = block.sums + c * block.tokens + i;
      F64 numerator = F64::zero();
      for (int t = block.degree; t >= 0; --t) {
        numerator = fma(F64::load(block.coefficients + t * block.tokens + i), F64::load(sums + t * slab), numerator);
      }
      const F64 answer = numerator / denominator;
      const F64 low = F64::set(block.low[c]);
      const F64 high = F64::set(block.high[c]);
      const F64 away = answer - F64::set(block.mean[c]);
      const F64 spread = max(high - answer, answer - low);
      const F64 deviation = fma(away * away, F64::set(block.half_inverse[c]), F64::set(block.deviation[c]));
      // min returns its second operand where the first is NaN: the spread is a bound on its own, the deviation is not.
      F64 column = min(uniform * deviation, error * spread);
      if (block.moments != nullptr) {
        const F64 away_together =
            fma(F64::load(block.moment_error + i), chord(block, c, i, answer), F64::load(block.slack + i) * spread);
        column = min(away_together, column);
      }
      const F64 rounded =
          fma(rounding_scale, F64::set(block.absolute[c]), fma(abs(answer), rounding_denominator, tiny));
      poison = fma(answer, F64::zero(), fma(column, F64::zero(), fma(rounded, F64::zero(), poison)));
      approximation = max(column, approximation);
      rounding = max(rounded, rounding);
      max(min(answer, high), low).store(block.answer + c * block.tokens + i);
    }
    fma(approximation, scale, poison).store(block.approximation + i);
    (rounding * scale).store(block.rounding + i);
  }
}

template <class F>
constexpr PolynomialKernels<typename F::Scalar> polynomial_kernels() noexcept {
  return {&moments_kernel<F>, &weigh_kernel<F>, &evaluate_kernel<F>, &finish_kernel};
}
