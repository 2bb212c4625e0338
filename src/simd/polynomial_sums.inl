// Included inside the namespace of one instruction set, after its lanes. See polynomial_kernels.hpp.

/// target[c] += sums of NC columns over the features of a group, NV vectors of tokens from `i` on.
template <class F, int NV, int NC>
inline void evaluation_tile(const typename F::Scalar* group, std::ptrdiff_t features, std::ptrdiff_t tokens,
                            const typename F::Scalar* moments, std::ptrdiff_t stride, std::ptrdiff_t i,
                            typename F::Scalar* target) noexcept {
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
  for (int c = 0; c < NC; ++c) {
    for (int v = 0; v < NV; ++v) {
      auto* to = target + c * tokens + i + v * F::width;
      (F::load(to) + acc[c][v]).store(to);
    }
  }
}

template <class F, int NC>
inline void evaluation_rows(const typename F::Scalar* group, std::ptrdiff_t features, std::ptrdiff_t tokens,
                            const typename F::Scalar* moments, std::ptrdiff_t stride,
                            typename F::Scalar* target) noexcept {
  constexpr int kVectors = F::tile_rows * F::tile_vectors >= 16 ? 4 : 1;
  for (std::ptrdiff_t i = 0; i < tokens; i += kVectors * F::width) {
    evaluation_tile<F, kVectors, NC>(group, features, tokens, moments, stride, i, target);
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

/// A group of features of degree t with all columns that go with it.
template <class F>
void flush_sums(const EvaluationBlock<typename F::Scalar>& block, int t, const typename F::Scalar* group,
                std::ptrdiff_t features, const typename F::Scalar* moments) noexcept {
  constexpr std::ptrdiff_t kWide = F::tile_rows * F::tile_vectors >= 16 ? 6 : 4;
  const std::ptrdiff_t tokens = block.tokens;
  const std::ptrdiff_t count = block.program.walk.columns_at[t];
  auto* slots = sum_slots<F>(block) + t * block.program.columns * tokens;
  std::ptrdiff_t c = 0;
  for (; c + kWide <= count; c += kWide) {
    evaluation_rows<F, static_cast<int>(kWide)>(group, features, tokens, moments + c, count, slots + c * tokens);
  }
  for (; c + 3 <= count; c += 3) {
    evaluation_rows<F, 3>(group, features, tokens, moments + c, count, slots + c * tokens);
  }
  if (c + 2 == count) {
    evaluation_rows<F, 2>(group, features, tokens, moments + c, count, slots + c * tokens);
  } else if (c + 1 == count) {
    evaluation_rows<F, 1>(group, features, tokens, moments + c, count, slots + c * tokens);
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

template <class F>
void walk_sums(const EvaluationBlock<typename F::Scalar>& block) noexcept {
  using T = typename F::Scalar;
  constexpr bool kNarrow = F::width != F64::width;
  const WalkProgram& walk = block.program.walk;
  const std::ptrdiff_t slab = block.program.columns * block.tokens;
  for (std::ptrdiff_t i = 0; i < (walk.degree + 1) * slab; i += F::width) {
    F::zero().store(sum_slots<F>(block) + i);
  }
  int pending[kMaxDegree + 1] = {};
  bool fresh[kMaxDegree + 1];
  for (int t = 0; t <= walk.degree; ++t) {
    fresh[t] = true;
  }
  const auto flush = [&](int t) {
    if constexpr (kNarrow) {
      widen<F>(block.partial + t * slab, walk.columns_at[t] * block.tokens, fresh[t], block.sums + t * slab);
    }
    fresh[t] = false;
    pending[t] = 0;
  };
  walk_monomials<F, kEvaluationGroup>(
      walk, block.x, block.tokens, block.monomials,
      [&](int t, const T* group, std::ptrdiff_t features, std::ptrdiff_t first) {
        flush_sums<F>(block, t, group, features,
                      block.moments + walk.starts[t] + (first - walk.offsets[t]) * walk.columns_at[t]);
        if (kNarrow && ++pending[t] == kEvaluationGroups) {
          flush(t);
        }
      });
  for (int t = 0; kNarrow && t <= walk.degree; ++t) {
    if (pending[t] != 0) {
      flush(t);
    }
  }
}

template <class F>
void evaluate_kernel(const EvaluationBlock<typename F::Scalar>& block) noexcept {
  if (block.program.products.prefix_count > 0) {
    product_sums<F>(block);
  } else {
    walk_sums<F>(block);
  }
}
