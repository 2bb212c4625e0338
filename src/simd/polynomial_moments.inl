// Included inside the namespace of one instruction set, after its lanes. See polynomial_kernels.hpp.

/// Registers of a tile.
template <class F, int N>
using Registers = F[static_cast<std::size_t>(N)];

/// totals[r][c] += sum(acc[r][c]), eight at a time.
template <class F, int R, int C>
inline void add_sums(const Registers<Registers<F, C>, R>& acc, double* totals, std::ptrdiff_t stride) noexcept {
  for (int first = 0; first < R * C; first += 8) {
    F64 wide[8];
    double out[8];
    for (int i = 0; i < 8; ++i) {
      const int k = first + i < R * C ? first + i : R * C - 1;
      const F part = acc[k / C][k % C];
      if constexpr (F::width == 16) {
        wide[i] = widen_low(part) + widen_high(part);
      } else {
        wide[i] = part;
      }
    }
    sums(wide, out);
    for (int i = 0; i < 8 && first + i < R * C; ++i) {
      totals[(first + i) / C * stride + (first + i) % C] += out[i];
    }
  }
}

/// Blocks up to so many tokens, as those under causal masks, join the lanes in T.
inline constexpr std::ptrdiff_t kShortBlock = kMomentBlock / 2;

/// The same with lanes joined in float32, which costs half as much: 4 roundings more after chains that are at least 16
/// additions shorter than those of a whole block.
template <class F, int R, int C>
inline void add_short_sums(const Registers<Registers<F, C>, R>& acc, double* totals, std::ptrdiff_t stride) noexcept {
  if constexpr (R * C < 8) {
    for (int r = 0; r < R; ++r) {
      for (int c = 0; c < C; ++c) {
        totals[r * stride + c] += static_cast<double>(tree_sum(acc[r][c]));
      }
    }
    return;
  }
  for (int first = 0; first < R * C; first += 16) {
    F parts[16];
    float out[16];
    for (int i = 0; i < 16; ++i) {
      const int k = first + i < R * C ? first + i : R * C - 1;
      parts[i] = acc[k / C][k % C];
    }
    tree_sums(parts, out);
    for (int i = 0; i < 16 && first + i < R * C; ++i) {
      totals[(first + i) / C * stride + (first + i) % C] += static_cast<double>(out[i]);
    }
  }
}

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
  if constexpr (F::width != F64::width) {
    if (tokens <= kShortBlock) {
      add_short_sums<F, R, C>(acc, totals, stride);
      return;
    }
  }
  add_sums<F, R, C>(acc, totals, stride);
}

template <class F, int R, int Wide>
inline void moment_rows(const typename F::Scalar* features, const typename F::Scalar* rows, std::ptrdiff_t tokens,
                        std::ptrdiff_t count, double* totals) noexcept {
  std::ptrdiff_t c = 0;
  for (; c + Wide <= count; c += Wide) {
    moment_tile<F, R, Wide>(features, rows + c * tokens, tokens, totals + c, count);
  }
  if constexpr (Wide > 4) {
    for (; c + 4 <= count; c += 4) {
      moment_tile<F, R, 4>(features, rows + c * tokens, tokens, totals + c, count);
    }
  }
  if constexpr (Wide > 2) {
    for (; c + 2 <= count; c += 2) {
      moment_tile<F, R, 2>(features, rows + c * tokens, tokens, totals + c, count);
    }
  }
  if (c < count) {
    moment_tile<F, R, 1>(features, rows + c * tokens, tokens, totals + c, count);
  }
}

/// Adds a group of inner features to their moments with the leading `count` rows.
template <class F>
void flush_moments(const typename F::Scalar* rows, std::ptrdiff_t tokens, std::ptrdiff_t count,
                   const typename F::Scalar* group, std::ptrdiff_t features, double* totals) noexcept {
  constexpr bool kMany = F::tile_rows * F::tile_vectors >= 16;  // registers
  std::ptrdiff_t r = 0;
  if constexpr (kMany) {
    for (; r + 8 <= features; r += 8) {
      moment_rows<F, 8, 3>(group + r * tokens, rows, tokens, count, totals + r * count);
    }
    for (; r + 4 <= features; r += 4) {
      moment_rows<F, 4, 6>(group + r * tokens, rows, tokens, count, totals + r * count);
    }
  }
  for (; r + 2 <= features; r += 2) {
    moment_rows<F, 2, kMany ? 8 : 2>(group + r * tokens, rows, tokens, count, totals + r * count);
  }
  if (r < features) {
    moment_rows<F, 1, kMany ? 8 : 4>(group + r * tokens, rows, tokens, count, totals + r * count);
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
    for (std::ptrdiff_t g = 0; g < products.key_group_count; ++g) {
      const ProductGroup& group = products.key_groups[g];
      flush_moments<F>(block.rows + group.prefix * columns * tokens, tokens, group.prefixes * columns,
                       block.monomials + group.suffix * tokens, group.suffixes, block.totals + group.moments);
    }
    return;
  }
  const WalkProgram& walk = block.program.walk;
  walk_monomials<F, kMomentGroup>(walk, block.x, tokens, block.monomials,
                                  [&](int t, const T* group, std::ptrdiff_t features, std::ptrdiff_t first) {
                                    const std::ptrdiff_t count = walk.columns_at[t];
                                    double* totals = block.totals + walk.starts[t] + (first - walk.offsets[t]) * count;
                                    flush_moments<F>(block.rows, tokens, count, group, features, totals);
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
