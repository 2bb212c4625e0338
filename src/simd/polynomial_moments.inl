// Included inside the namespace of one instruction set, after its lanes. See polynomial_kernels.hpp.

/// Registers of a tile.
template <class F, int N>
using Registers = F[static_cast<std::size_t>(N)];

/// totals[r][offset + c] += the lanes of acc[r][c], as many at a time as lanes.
template <class F, int R, int C>
inline void add_sums(const Registers<Registers<F, C>, R>& acc, double* const* totals, std::ptrdiff_t offset) noexcept {
  constexpr int kWidth = static_cast<int>(F::width);
  for (int first = 0; first < R * C; first += kWidth) {
    F part[F::width];
    double out[F::width];
    for (int i = 0; i < kWidth; ++i) {
      const int k = first + i < R * C ? first + i : R * C - 1;
      part[i] = acc[k / C][k % C];
    }
    sums(part, out);
    for (int i = 0; i < kWidth && first + i < R * C; ++i) {
      totals[(first + i) / C][offset + (first + i) % C] += out[i];
    }
  }
}

/// acc[r][c] = sum over the block of features[r] * rows[c], added to the totals.
template <class F, int R, int C>
inline void moment_tile(const typename F::Scalar* features, const typename F::Scalar* rows, std::ptrdiff_t tokens,
                        double* const* totals, std::ptrdiff_t offset) noexcept {
  Registers<Registers<F, C>, R> acc;
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) {
      acc[r][c] = F::zero();
    }
  }
  for (std::ptrdiff_t i = 0; i < tokens; i += F::width) {
    Registers<F, C> column;
    for (int c = 0; c < C; ++c) {
      column[c] = F::load(rows + c * tokens + i);
    }
    for (int r = 0; r < R; ++r) {
      const F feature = F::load(features + r * tokens + i);
      for (int c = 0; c < C; ++c) {
        acc[r][c] = fma(feature, column[c], acc[r][c]);
      }
    }
  }
  add_sums<F, R, C>(acc, totals, offset);
}

template <class F, int R, int Wide>
inline void moment_rows(const typename F::Scalar* features, const typename F::Scalar* rows, std::ptrdiff_t tokens,
                        std::ptrdiff_t count, double* const* totals, std::ptrdiff_t offset) noexcept {
  std::ptrdiff_t c = 0;
  for (; c + Wide <= count; c += Wide) {
    moment_tile<F, R, Wide>(features, rows + c * tokens, tokens, totals, offset + c);
  }
  if constexpr (Wide > 4) {
    for (; c + 4 <= count; c += 4) {
      moment_tile<F, R, 4>(features, rows + c * tokens, tokens, totals, offset + c);
    }
  }
  if constexpr (Wide > 2) {
    for (; c + 2 <= count; c += 2) {
      moment_tile<F, R, 2>(features, rows + c * tokens, tokens, totals, offset + c);
    }
  }
  if (c < count) {
    moment_tile<F, R, 1>(features, rows + c * tokens, tokens, totals, offset + c);
  }
}

/// totals[r][offset + k] += sum over the block of features[r] * rows[k], k < count.
template <class F>
void flush_moments(const typename F::Scalar* rows, std::ptrdiff_t tokens, std::ptrdiff_t count,
                   const typename F::Scalar* group, std::ptrdiff_t features, double* const* totals,
                   std::ptrdiff_t offset) noexcept {
  constexpr bool kMany = F::tile_rows * F::tile_vectors >= 16;  // registers
  std::ptrdiff_t r = 0;
  if constexpr (kMany) {
    for (; r + 8 <= features; r += 8) {
      moment_rows<F, 8, 3>(group + r * tokens, rows, tokens, count, totals + r, offset);
    }
    for (; r + 4 <= features; r += 4) {
      moment_rows<F, 4, 6>(group + r * tokens, rows, tokens, count, totals + r, offset);
    }
  }
  for (; r + 2 <= features; r += 2) {
    moment_rows<F, 2, kMany ? 8 : 2>(group + r * tokens, rows, tokens, count, totals + r, offset);
  }
  if (r < features) {
    moment_rows<F, 1, kMany ? 8 : 4>(group + r * tokens, rows, tokens, count, totals + r, offset);
  }
}

inline constexpr int kMaxDegree = 64;

/// Walks the monomials depth first over `length` tokens, handing full groups to `flush(degree, group, features,
/// first)`.
template <class F, std::ptrdiff_t Group, class Flush>
inline void walk_monomials(const WalkProgram& program, const typename F::Scalar* x, std::ptrdiff_t length,
                           typename F::Scalar* groups, const Flush& flush) noexcept {
  using T = typename F::Scalar;
  std::ptrdiff_t fill[kMaxDegree + 1];  // features waiting in the group of each degree
  std::ptrdiff_t next[kMaxDegree + 1];  // index of the first of them
  T* latest[kMaxDegree + 1];            // latest visited feature of each degree: the parent of what follows
  const std::ptrdiff_t stride = group_stride(Group, length);
  for (int t = 0; t <= program.degree; ++t) {
    fill[t] = 0;
    next[t] = program.offsets[t];
    latest[t] = groups + t * stride;
  }
  for (std::ptrdiff_t i = 0; i < length; i += F::width) {
    F::set(T(1)).store(groups + i);
  }
  flush(0, groups, std::ptrdiff_t{1}, std::ptrdiff_t{0});
  for (std::ptrdiff_t step = 0; step < program.count; ++step) {
    const int t = program.steps[step].degree;
    const T* variable = x + program.steps[step].variable * length;
    const T* parent = latest[t - 1];
    T* base = groups + t * stride;
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
      flush(t, groups + t * stride, fill[t], next[t]);
    }
  }
}

/// list[i] = its parent times a variable, for one or more columns side by side; the columns of number 0 are given.
template <class F>
inline void make_products(const MonomialProduct* list, std::ptrdiff_t count, const typename F::Scalar* x,
                          std::ptrdiff_t columns, std::ptrdiff_t tokens, typename F::Scalar* out) noexcept {
  for (std::ptrdiff_t k = 1; k < count; ++k) {
    const auto* variable = x + list[k].variable * tokens;
    const auto* from = out + list[k].parent * columns * tokens;
    auto* to = out + k * columns * tokens;
    for (std::ptrdiff_t c = 0; c < columns; ++c) {
      for (std::ptrdiff_t i = 0; i < tokens; i += F::width) {
        (F::load(from + c * tokens + i) * F::load(variable + i)).store(to + c * tokens + i);
      }
    }
  }
}

template <class F>
inline void fill_ones(typename F::Scalar* out, std::ptrdiff_t tokens) noexcept {
  for (std::ptrdiff_t i = 0; i < tokens; i += F::width) {
    F::set(typename F::Scalar(1)).store(out + i);
  }
}

/// Moments of products, kMomentGroup suffixes at a time whatever prefixes go with them: first those prefixes that all
/// of them share, then what the later ones have beyond.
template <class F>
void product_moments(const MomentBlock<typename F::Scalar>& block) noexcept {
  const ProductProgram& products = block.program.products;
  const std::ptrdiff_t tokens = block.tokens;
  const std::ptrdiff_t columns = block.program.columns;
  std::ptrdiff_t g = 0;
  for (std::ptrdiff_t first = 0; first < products.suffix_count;) {
    double* totals[kMomentGroup];
    std::ptrdiff_t count[kMomentGroup];
    const std::ptrdiff_t prefix = products.key_groups[g].prefix;
    std::ptrdiff_t here = 0;
    for (; here < kMomentGroup && first + here < products.suffix_count; ++here) {
      const bool next = first + here == products.key_groups[g].suffix + products.key_groups[g].suffixes;
      g += next ? 1 : 0;
      const ProductGroup& group = products.key_groups[g];
      if (group.prefix != prefix) {
        break;  // the suffix 1, which goes with all prefixes, is alone
      }
      count[here] = group.prefixes * columns;
      totals[here] = block.totals + group.moments + (first + here - group.suffix) * count[here];
    }
    std::ptrdiff_t done = 0;
    for (std::ptrdiff_t s = 0; s < here; ++s) {
      if (count[s] > done) {
        flush_moments<F>(block.rows + (prefix * columns + done) * tokens, tokens, count[s] - done,
                         block.monomials + (first + s) * tokens, here - s, totals + s, done);
        done = count[s];
      }
    }
    first += here;
  }
}

template <class F>
void moments_kernel(const MomentBlock<typename F::Scalar>& block) noexcept {
  using T = typename F::Scalar;
  const std::ptrdiff_t tokens = block.tokens;
  const std::ptrdiff_t columns = block.program.columns;
  const ProductProgram& products = block.program.products;
  if (products.prefix_count > 0) {
    make_products<F>(products.prefixes, products.prefix_count, block.x, columns, tokens, block.rows);
    fill_ones<F>(block.monomials, tokens);
    make_products<F>(products.suffixes, products.suffix_count, block.x, 1, tokens, block.monomials);
    product_moments<F>(block);
    return;
  }
  const WalkProgram& walk = block.program.walk;
  walk_monomials<F, kMomentGroup>(walk, block.x, tokens, block.monomials,
                                  [&](int t, const T* group, std::ptrdiff_t features, std::ptrdiff_t first) {
                                    const std::ptrdiff_t count = walk.columns_at[t];
                                    double* totals[kMomentGroup];
                                    for (std::ptrdiff_t f = 0; f < features; ++f) {
                                      totals[f] = block.totals + walk.starts[t] + (first - walk.offsets[t] + f) * count;
                                    }
                                    flush_moments<F>(block.rows, tokens, count, group, features, totals, 0);
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
      if (block.spread != nullptr) {
        abs(product).store(block.spread + c * block.tokens + i);
      }
      absolute = absolute + abs(product);
      square = fma(product, value, square);
    }
    block.absolute[c] += sum(absolute);
    block.square[c] += sum(square);
  }
}
