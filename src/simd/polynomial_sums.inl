// Included inside the namespace of one instruction set, after its lanes. See polynomial_kernels.hpp.

/// Where the sum of one row of the moments goes: target += factor * sum, or target += sum without a factor.
template <class T>
struct SumTarget {
  const T* factor;
  T* target;
  bool same;  ///< as that of the row before
};

/// Sums of NC rows over the features of a group, NV vectors of tokens from `i` on.
template <class F, int NV, int NC>
inline void evaluation_tile(const typename F::Scalar* group, std::ptrdiff_t features, std::ptrdiff_t tokens,
                            const typename F::Scalar* moments, std::ptrdiff_t stride, std::ptrdiff_t i,
                            const SumTarget<typename F::Scalar>* targets) noexcept {
  Registers<Registers<F, NV>, NC> acc;
  for (int c = 0; c < NC; ++c) {
    for (int v = 0; v < NV; ++v) {
      acc[c][v] = F::zero();
    }
  }
  for (std::ptrdiff_t f = 0; f < features; ++f) {
    Registers<F, NV> feature;
    for (int v = 0; v < NV; ++v) {
      feature[v] = F::load(group + f * tokens + i + v * F::width);
    }
    for (int c = 0; c < NC; ++c) {
      const F moment = F::set(moments[f * stride + c]);
      for (int v = 0; v < NV; ++v) {
        acc[c][v] = fma(feature[v], moment, acc[c][v]);
      }
    }
  }
  for (int v = 0; v < NV; ++v) {
    auto* target = targets[0].target + i + v * F::width;
    F total = F::load(target);
    for (int c = 0; c < NC; ++c) {
      if (c > 0 && !targets[c].same) {
        total.store(target);
        target = targets[c].target + i + v * F::width;
        total = F::load(target);
      }
      total = targets[c].factor == nullptr ? total + acc[c][v]
                                           : fma(F::load(targets[c].factor + i + v * F::width), acc[c][v], total);
    }
    total.store(target);
  }
}

template <class F, int NC>
inline void evaluation_rows(const typename F::Scalar* group, std::ptrdiff_t features, std::ptrdiff_t tokens,
                            const typename F::Scalar* moments, std::ptrdiff_t stride,
                            const SumTarget<typename F::Scalar>* targets) noexcept {
  constexpr int kVectors = F::tile_rows * F::tile_vectors >= 16 ? 4 : 1;
  for (std::ptrdiff_t i = 0; i < tokens; i += kVectors * F::width) {
    evaluation_tile<F, kVectors, NC>(group, features, tokens, moments, stride, i, targets);
  }
}

/// Sums are added up in T and now and then to the float64 totals; in float64 these are one and the same.
template <class F>
inline typename F::Scalar* sum_slots(const EvaluationBlock<typename F::Scalar>& block) noexcept {
  if constexpr (F::width == F64::width) {
    return block.sums;
  } else {
    return block.partial;
  }
}

/// A group of inner features of degree u with all rows that go with it.
template <class F>
void flush_sums(const EvaluationBlock<typename F::Scalar>& block, int u, const typename F::Scalar* group,
                std::ptrdiff_t features, const typename F::Scalar* moments) noexcept {
  using T = typename F::Scalar;
  constexpr std::ptrdiff_t kWide = F::tile_rows * F::tile_vectors >= 16 ? 6 : 4;
  const std::ptrdiff_t count = block.program.active[u];
  for (std::ptrdiff_t k = 0; k < count; k += kWide) {
    const std::ptrdiff_t here = count - k < kWide ? count - k : kWide;
    SumTarget<T> targets[static_cast<std::size_t>(kWide)];
    for (std::ptrdiff_t c = 0; c < here; ++c) {
      const OuterRow& row = block.program.rows[k + c];
      const std::ptrdiff_t slot = (u + row.degree) * block.program.columns + row.column;
      T* target = sum_slots<F>(block) + slot * block.tokens;
      targets[c] = {row.outer == 0 ? nullptr : block.outer + row.outer * block.tokens, target,
                    c > 0 && target == targets[c - 1].target};
    }
    const T* first = moments + k;
    switch (here) {
      case 1:
        evaluation_rows<F, 1>(group, features, block.tokens, first, count, targets);
        break;
      case 2:
        evaluation_rows<F, 2>(group, features, block.tokens, first, count, targets);
        break;
      case 3:
        evaluation_rows<F, 3>(group, features, block.tokens, first, count, targets);
        break;
      case 4:
        evaluation_rows<F, 4>(group, features, block.tokens, first, count, targets);
        break;
      case 5:
        evaluation_rows<F, 3>(group, features, block.tokens, first, count, targets);
        targets[3].same = false;
        evaluation_rows<F, 2>(group, features, block.tokens, first + 3, count, targets + 3);
        break;
      default:
        evaluation_rows<F, static_cast<int>(kWide)>(group, features, block.tokens, first, count, targets);
        break;
    }
  }
}

/// sums = partial for the first time, sums += partial later; partial = 0.
template <class F>
inline void widen(typename F::Scalar* partial, std::ptrdiff_t count, bool first, double* sums) noexcept {
  for (std::ptrdiff_t i = 0; i < count; i += F::width) {
    const F part = F::load(partial + i);
    F::zero().store(partial + i);
    F64 low = widen_low(part);
    F64 high = widen_high(part);
    if (!first) {
      low = F64::load(sums + i) + low;
      high = F64::load(sums + i + 8) + high;
    }
    low.store(sums + i);
    high.store(sums + i + 8);
  }
}

/// Outer monomials of the block's tokens, in their order.
template <class F>
void outer_monomials(const EvaluationBlock<typename F::Scalar>& block) noexcept {
  using T = typename F::Scalar;
  const MonomialProgram& program = block.program.outer;
  std::ptrdiff_t next[kMaxDegree + 1];
  std::ptrdiff_t latest[kMaxDegree + 1];
  for (int t = 0; t <= program.degree; ++t) {
    next[t] = program.offsets[t];
    latest[t] = program.offsets[t];
  }
  for (std::ptrdiff_t i = 0; i < block.tokens; i += F::width) {
    F::set(T(1)).store(block.outer + i);
  }
  for (std::ptrdiff_t step = 0; step < program.count; ++step) {
    const int t = program.steps[step].degree;
    const T* variable = block.x + program.steps[step].variable * block.tokens;
    const T* parent = block.outer + latest[t - 1] * block.tokens;
    T* out = block.outer + next[t] * block.tokens;
    for (std::ptrdiff_t i = 0; i < block.tokens; i += F::width) {
      (F::load(parent + i) * F::load(variable + i)).store(out + i);
    }
    latest[t] = next[t]++;
  }
}

template <class F>
void evaluate_kernel(const EvaluationBlock<typename F::Scalar>& block) noexcept {
  using T = typename F::Scalar;
  constexpr bool kNarrow = F::width != F64::width;
  const FeatureProgram& program = block.program;
  const int degree = program.inner.degree;
  const std::ptrdiff_t slab = program.columns * block.tokens;
  for (std::ptrdiff_t i = 0; i < (degree + 1) * slab; i += F::width) {
    F::zero().store(sum_slots<F>(block) + i);
  }
  outer_monomials<F>(block);
  std::ptrdiff_t pending[kMaxDegree + 1] = {};
  bool fresh[kMaxDegree + 1];
  for (int t = 0; t <= degree; ++t) {
    fresh[t] = true;
  }
  const auto flush = [&](int t) {
    if constexpr (kNarrow) {
      widen<F>(block.partial + t * slab, program.columns_at[t] * block.tokens, fresh[t], block.sums + t * slab);
    }
    fresh[t] = false;
    pending[t] = 0;
  };
  walk_monomials<F, kEvaluationGroup>(
      program.inner, block.x + program.split * block.tokens, block.tokens, block.groups,
      [&](int u, const T* group, std::ptrdiff_t features, std::ptrdiff_t first) {
        flush_sums<F>(block, u, group, features,
                      block.moments + program.starts[u] + (first - program.inner.offsets[u]) * program.active[u]);
        for (int s = 0; kNarrow && s <= program.outer.degree && u + s <= degree; ++s) {
          pending[u + s] += program.outer.offsets[s + 1] - program.outer.offsets[s];
          if (pending[u + s] >= kEvaluationGroups) {
            flush(u + s);
          }
        }
      });
  for (int t = 0; kNarrow && t <= degree; ++t) {
    if (pending[t] != 0) {
      flush(t);
    }
  }
}
