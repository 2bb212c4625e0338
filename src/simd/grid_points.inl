// Points of the grid: where they are in their cells, Chebyshev polynomials there, and products of these. Included
// inside the namespace of one instruction set, after its lanes. See grid_kernels.hpp.

inline ColumnRange grid_range(const double* x, std::ptrdiff_t tokens) noexcept {
  F64 low = F64::set(x[0]);
  F64 high = low;
  F64 poison = F64::zero();
  for (std::ptrdiff_t i = 0; i < tokens; i += F64::width) {
    const F64 v = F64::load(x + i);
    low = min(low, v);
    high = max(high, v);
    poison = fma(v, F64::zero(), poison);
  }
  double lows[F64::width];
  double highs[F64::width];
  low.store(lows);
  high.store(highs);
  for (std::ptrdiff_t i = 1; i < F64::width; ++i) {
    lows[0] = lows[i] < lows[0] ? lows[i] : lows[0];
    highs[0] = highs[i] > highs[0] ? highs[i] : highs[0];
  }
  return {lows[0], highs[0], sum(poison)};
}

inline void grid_locate(const LocateColumn& column) noexcept {
  const F64 origin = F64::set(column.origin);
  const F64 scale = F64::set(column.scale);
  const F64 last = F64::set(column.cells - 1.0);
  const F64 stride = F64::set(column.stride);
  const F64 one = F64::set(1.0);
  const F64 minus = F64::set(-1.0);
  for (std::ptrdiff_t i = 0; i < column.tokens; i += F64::width) {
    const F64 g = (F64::load(column.x + i) - origin) * scale;
    const F64 floor = F64::zero() - ceil(F64::zero() - g);
    const F64 cell = max(min(floor, last), F64::zero());
    const F64 fraction = g - cell;
    max(min(fraction + fraction - one, one), minus).store(column.local + i);
    fma(cell, stride, F64::load(column.id + i)).store(column.id + i);
  }
}

/// T_0 ... T_{nodes - 1} of eight points.
inline void grid_chebyshev(const double* x, std::ptrdiff_t nodes, F64* t) noexcept {
  const F64 v = F64::load(x);
  const F64 twice = v + v;
  t[0] = F64::set(1.0);
  if (nodes > 1) {
    t[1] = v;
  }
  for (std::ptrdiff_t k = 2; k < nodes; ++k) {
    t[k] = fma(twice, t[k - 1], F64::zero() - t[k - 2]);
  }
}

inline void grid_chebyshev_points(const ChebyshevPoints& block) noexcept {
  F64 t[kMaxNodes];
  for (std::ptrdiff_t i = 0; i < block.points; i += F64::width) {
    grid_chebyshev(block.x + i, block.nodes, t);
    for (std::ptrdiff_t k = 0; k < block.nodes; ++k) {
      t[k].store(block.out + k * block.ld + i);
    }
  }
}

inline void grid_chebyshev_lists(const ChebyshevPoints& block) noexcept {
  F64 t[kMaxNodes];
  for (std::ptrdiff_t i = 0; i < block.points; i += F64::width) {
    grid_chebyshev(block.x + i, block.nodes, t);
    for (std::ptrdiff_t k = 0; k < block.nodes; k += F64::width) {
      F64 square[F64::width];
      for (std::ptrdiff_t j = 0; j < F64::width; ++j) {
        square[j] = k + j < block.nodes ? t[k + j] : F64::zero();
      }
      transpose(square);
      for (std::ptrdiff_t j = 0; j < F64::width; ++j) {
        square[j].store(block.out + (i + j) * block.ld + k);
      }
    }
  }
}

/// Stores overlap: what one leaves behind its end is written over by the next, and is 0 behind the last.
inline void grid_expand(const ExpandLists& block) noexcept {
  const bool wide = block.nodes > F64::width;
  for (std::ptrdiff_t j = 0; j < block.points; ++j) {
    const double* list = block.list + j * block.ld_list;
    double* out = block.out + j * block.ld_out;
    const F64 low = F64::load(block.axis + j * block.ld_axis);
    const F64 high = wide ? F64::load(block.axis + j * block.ld_axis + F64::width) : F64::zero();
    for (std::ptrdiff_t i = 0; i < block.length; ++i) {
      const F64 factor = F64::set(list[i]);
      (factor * low).store(out + i * block.nodes);
      if (wide) {
        (factor * high).store(out + i * block.nodes + F64::width);
      }
    }
    double* end = out + block.length * block.nodes;
    F64::zero().store(end);
    (F64::zero()).store(end + F64::width);
  }
}

inline void grid_weigh(const WeighRows& block) noexcept {
  for (std::ptrdiff_t c = 0; c < block.channels; ++c) {
    for (std::ptrdiff_t node = 0; node < block.nodes; ++node) {
      const double* leading = block.leading + node * block.ld;
      double* out = block.out + (c * block.nodes + node) * block.ld;
      for (std::ptrdiff_t j = 0; j < block.points; j += F64::width) {
        (F64::load(leading + j) * F64::load(block.weights + c * block.ld + j)).store(out + j);
      }
    }
  }
}
