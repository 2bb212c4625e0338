// Included inside the namespace of one instruction set, after its lanes. See polynomial_kernels.hpp.

/// What all tiles of one pass share: NV vectors of tokens from `i` on, NC columns from `column` on.
template <class T>
struct ProductPass {
  const T* prefixes;  ///< at token i
  const T* suffixes;
  std::ptrdiff_t tokens;
  std::ptrdiff_t columns;
};

/// total[c] += sum over NB suffixes of suffix * sum over `count` prefixes of prefix * moments[suffix][prefix][c].
template <class F, int NV, int NC, int NB>
inline void product_tile(const ProductPass<typename F::Scalar>& pass, std::ptrdiff_t prefix, std::ptrdiff_t count,
                         std::ptrdiff_t suffix, const typename F::Scalar* moments, std::ptrdiff_t stride,
                         Registers<Registers<F, NV>, NC>& total) noexcept {
  Registers<Registers<Registers<F, NV>, NC>, NB> acc;
  for (int b = 0; b < NB; ++b) {
    for (int c = 0; c < NC; ++c) {
      for (int v = 0; v < NV; ++v) {
        acc[b][c][v] = F::zero();
      }
    }
  }
  const auto* from = pass.prefixes + prefix * pass.tokens;
  for (std::ptrdiff_t a = 0; a < count; ++a) {
    Registers<F, NV> feature;
    for (int v = 0; v < NV; ++v) {
      feature[v] = F::load(from + a * pass.tokens + v * F::width);
    }
    for (int b = 0; b < NB; ++b) {
      for (int c = 0; c < NC; ++c) {
        const F moment = F::set(moments[b * stride + a * pass.columns + c]);
        for (int v = 0; v < NV; ++v) {
          acc[b][c][v] = fma(feature[v], moment, acc[b][c][v]);
        }
      }
    }
  }
  for (int b = 0; b < NB; ++b) {
    for (int v = 0; v < NV; ++v) {
      const F factor = F::load(pass.suffixes + (suffix + b) * pass.tokens + v * F::width);
      for (int c = 0; c < NC; ++c) {
        total[c][v] = fma(factor, acc[b][c][v], total[c][v]);
      }
    }
  }
}

/// sums = total for the first time, sums += total later; total = 0.
template <class F, int NV, int NC>
inline void add_products(Registers<Registers<F, NV>, NC>& total, std::ptrdiff_t tokens, bool first,
                         double* sums) noexcept {
  for (int c = 0; c < NC; ++c) {
    for (int v = 0; v < NV; ++v) {
      double* to = sums + c * tokens + v * F::width;
      F64 low = widen_low(total[c][v]);
      (first ? low : F64::load(to) + low).store(to);
      if constexpr (F::width != F64::width) {
        const F64 high = widen_high(total[c][v]);
        (first ? high : F64::load(to + F64::width) + high).store(to + F64::width);
      }
      total[c][v] = F::zero();
    }
  }
}

/// All sums of NC columns for NV vectors of tokens. Totals stay in registers as long as the degree stays the same.
template <class F, int NV, int NC, int NB>
inline void product_columns(const EvaluationBlock<typename F::Scalar>& block, std::ptrdiff_t i,
                            std::ptrdiff_t column) noexcept {
  const ProductProgram& products = block.program.products;
  const std::ptrdiff_t columns = block.program.columns;
  const ProductPass<typename F::Scalar> pass{block.prefixes + i, block.monomials + i, block.tokens, columns};
  Registers<Registers<F, NV>, NC> total;
  for (int c = 0; c < NC; ++c) {
    for (int v = 0; v < NV; ++v) {
      total[c][v] = F::zero();
    }
  }
  int pending = 0;
  int degree = 0;
  bool first = true;
  const auto flush = [&] {
    add_products<F, NV, NC>(total, block.tokens, first, block.sums + (degree * columns + column) * block.tokens + i);
    pending = 0;
    first = false;
  };
  for (std::ptrdiff_t g = 0; g < products.sum_group_count; ++g) {
    const ProductGroup& group = products.sum_groups[g];
    if (group.degree != degree) {
      flush();
      degree = group.degree;
      first = true;
    }
    const std::ptrdiff_t stride = group.prefixes * columns;
    for (std::ptrdiff_t a = 0; a < group.prefixes; a += kEvaluationGroup) {
      const std::ptrdiff_t count = group.prefixes - a < kEvaluationGroup ? group.prefixes - a : kEvaluationGroup;
      const auto* moments = block.moments + group.moments + a * columns + column;
      std::ptrdiff_t b = 0;
      for (; b + NB <= group.suffixes; b += NB) {
        product_tile<F, NV, NC, NB>(pass, group.prefix + a, count, group.suffix + b, moments + b * stride, stride,
                                    total);
        pending += NB;
        if (pending + NB > kEvaluationGroups) {
          flush();
        }
      }
      for (; b < group.suffixes; ++b) {
        product_tile<F, NV, NC, 1>(pass, group.prefix + a, count, group.suffix + b, moments + b * stride, stride,
                                   total);
        ++pending;
      }
      if (pending + NB > kEvaluationGroups) {
        flush();
      }
    }
  }
  flush();
}

template <class F>
void product_sums(const EvaluationBlock<typename F::Scalar>& block) noexcept {
  constexpr bool kMany = F::tile_rows * F::tile_vectors >= 16;  // registers
  constexpr int kVectors = kMany ? 4 : 1;
  const ProductProgram& products = block.program.products;
  fill_ones<F>(block.prefixes, block.tokens);
  fill_ones<F>(block.monomials, block.tokens);
  make_products<F>(products.prefixes, products.prefix_count, block.x, 1, block.tokens, block.prefixes);
  make_products<F>(products.suffixes, products.suffix_count, block.x, 1, block.tokens, block.monomials);
  for (std::ptrdiff_t i = 0; i < block.tokens; i += kVectors * F::width) {
    std::ptrdiff_t c = 0;
    for (; c + 3 <= block.program.columns && c + 4 != block.program.columns; c += 3) {
      product_columns<F, kVectors, 3, 1>(block, i, c);
    }
    for (; c + 2 <= block.program.columns; c += 2) {
      product_columns<F, kVectors, 2, 2>(block, i, c);
    }
    if (c < block.program.columns) {
      product_columns<F, kVectors, 1, kMany ? 4 : 2>(block, i, c);
    }
  }
}
