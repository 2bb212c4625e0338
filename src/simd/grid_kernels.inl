// Included inside the namespace of one instruction set, after its lanes. See grid_kernels.hpp.

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

inline void grid_lagrange_points(const LagrangePoints& block) noexcept {
  F64 t[kMaxNodes];
  for (std::ptrdiff_t i = 0; i < block.points; i += F64::width) {
    grid_chebyshev(block.x + i, block.nodes, t);
    for (std::ptrdiff_t node = 0; node < block.nodes; ++node) {
      F64 value = F64::zero();
      for (std::ptrdiff_t k = 0; k < block.nodes; ++k) {
        value = fma(F64::set(block.matrix[k * block.ld_matrix + node]), t[k], value);
      }
      value.store(block.out + node * block.ld + i);
    }
  }
}

inline void grid_lagrange_nodes(const LagrangePoints& block) noexcept {
  constexpr std::ptrdiff_t group = F64::tile_rows;
  F64 t[kMaxNodes];
  double point[kMaxNodes][F64::width];
  for (std::ptrdiff_t i = 0; i < block.points; i += F64::width) {
    grid_chebyshev(block.x + i, block.nodes, t);
    for (std::ptrdiff_t k = 0; k < block.nodes; ++k) {
      t[k].store(point[k]);
    }
    for (std::ptrdiff_t node = 0; node < block.nodes; node += F64::width) {
      for (std::ptrdiff_t j = 0; j < F64::width; j += group) {
        F64 value[group];
        for (F64& v : value) {
          v = F64::zero();
        }
        for (std::ptrdiff_t k = 0; k < block.nodes; ++k) {
          const F64 row = F64::load(block.matrix + k * block.ld_matrix + node);
          for (std::ptrdiff_t g = 0; g < group; ++g) {
            value[g] = fma(row, F64::set(point[k][j + g]), value[g]);
          }
        }
        for (std::ptrdiff_t g = 0; g < group; ++g) {
          value[g].store(block.out + (i + j + g) * block.ld + node);
        }
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

template <std::ptrdiff_t R, std::ptrdiff_t V>
inline void grid_form_tile(const FormTensor& block, std::ptrdiff_t r, std::ptrdiff_t m) noexcept {
  F64 total[std::size_t{R}][std::size_t{V}];
  for (auto& row : total) {
    for (F64& t : row) {
      t = F64::zero();
    }
  }
  const double* rows = block.rows + r * block.ld_rows;
  const double* columns = block.columns + m;
  for (std::ptrdiff_t j = 0; j < block.points; ++j) {
    F64 column[std::size_t{V}];
    for (std::ptrdiff_t v = 0; v < V; ++v) {
      column[v] = F64::load(columns + j * block.ld_columns + v * F64::width);
    }
    for (std::ptrdiff_t i = 0; i < R; ++i) {
      const F64 factor = F64::set(rows[i * block.ld_rows + j]);
      for (std::ptrdiff_t v = 0; v < V; ++v) {
        total[i][v] = fma(factor, column[v], total[i][v]);
      }
    }
  }
  for (std::ptrdiff_t i = 0; i < R; ++i) {
    for (std::ptrdiff_t v = 0; v < V; ++v) {
      double* to = block.tensor + (r + i) * block.width + m + v * F64::width;
      (F64::load(to) + total[i][v]).store(to);
    }
  }
}

/// out[I][m] over one channel.
template <std::ptrdiff_t R, std::ptrdiff_t V>
inline void grid_pass_tile(const PassTarget& target, std::ptrdiff_t channel, std::ptrdiff_t r,
                           std::ptrdiff_t m) noexcept {
  F64 total[std::size_t{R}][std::size_t{V}];
  for (auto& row : total) {
    for (F64& t : row) {
      t = F64::zero();
    }
  }
  const std::ptrdiff_t nodes = target.nodes;
  const std::ptrdiff_t base = channel * nodes * target.width + m;
  for (std::ptrdiff_t s = 0; s < target.count; ++s) {
    const double* source = target.sources[s] + base;
    const double* matrix = target.matrices[s] + r * nodes;
    for (std::ptrdiff_t node = 0; node < nodes; ++node) {
      F64 column[std::size_t{V}];
      for (std::ptrdiff_t v = 0; v < V; ++v) {
        column[v] = F64::load(source + node * target.width + v * F64::width);
      }
      for (std::ptrdiff_t i = 0; i < R; ++i) {
        const F64 factor = F64::set(matrix[i * nodes + node]);
        for (std::ptrdiff_t v = 0; v < V; ++v) {
          total[i][v] = fma(factor, column[v], total[i][v]);
        }
      }
    }
  }
  for (std::ptrdiff_t i = 0; i < R; ++i) {
    for (std::ptrdiff_t v = 0; v < V; ++v) {
      total[i][v].store(target.out + base + (r + i) * target.width + v * F64::width);
    }
  }
}

/// Calls tile.template run<R, V>() for 1 <= R <= F64::tile_rows, 1 <= V <= F64::tile_vectors.
template <std::ptrdiff_t R, std::ptrdiff_t V, class Tile>
inline void grid_call(std::ptrdiff_t rows, std::ptrdiff_t vectors, const Tile& tile) noexcept {
  if constexpr (R > 1) {
    if (rows < R) {
      grid_call<R - 1, V>(rows, vectors, tile);
      return;
    }
  }
  if constexpr (V > 1) {
    if (vectors < V) {
      grid_call<R, V - 1>(rows, vectors, tile);
      return;
    }
  }
  tile.template run<R, V>();
}

/// Tiles of about the same size over a matrix of rows x width; make(first row, first column) gives what runs one.
template <class Make>
inline void grid_tiles(std::ptrdiff_t rows, std::ptrdiff_t width, const Make& make) noexcept {
  constexpr std::ptrdiff_t most = F64::tile_rows;
  const std::ptrdiff_t parts = (rows + most - 1) / most;
  for (std::ptrdiff_t m = 0; m < width; m += F64::tile_vectors * F64::width) {
    std::ptrdiff_t r = 0;
    for (std::ptrdiff_t part = 0; part < parts; ++part) {
      const std::ptrdiff_t end = rows * (part + 1) / parts;
      grid_call<F64::tile_rows, F64::tile_vectors>(end - r, (width - m) / F64::width, make(r, m));
      r = end;
    }
  }
}

struct GridFormTile {
  const FormTensor* block;
  std::ptrdiff_t r;
  std::ptrdiff_t m;
  template <std::ptrdiff_t R, std::ptrdiff_t V>
  void run() const noexcept {
    grid_form_tile<R, V>(*block, r, m);
  }
};
inline void grid_form(const FormTensor& block) noexcept {
  grid_tiles(block.row_count, block.width, [&](std::ptrdiff_t r, std::ptrdiff_t m) {
    return GridFormTile{&block, r, m};
  });
}

struct GridPassTile {
  const PassTarget* target;
  std::ptrdiff_t channel;
  std::ptrdiff_t r;
  std::ptrdiff_t m;
  template <std::ptrdiff_t R, std::ptrdiff_t V>
  void run() const noexcept {
    grid_pass_tile<R, V>(*target, channel, r, m);
  }
};
inline void grid_pass(const PassTarget& target) noexcept {
  for (std::ptrdiff_t c = 0; c < target.channels; ++c) {
    grid_tiles(target.nodes, target.width, [&](std::ptrdiff_t r, std::ptrdiff_t m) {
      return GridPassTile{&target, c, r, m};
    });
  }
}

/// Eight chains of each of `group` points: inner products over the nodes of the first axis, times the others' products.
template <std::ptrdiff_t V>
inline void grid_evaluate_step(const EvaluateRows& block, const double* tensor, std::ptrdiff_t i, std::ptrdiff_t m,
                               F64 (&total)[F64::tile_rows]) noexcept {
  constexpr std::ptrdiff_t group = F64::tile_rows;
  F64 inner[std::size_t{group}][std::size_t{V}];
  for (auto& row : inner) {
    for (F64& t : row) {
      t = F64::zero();
    }
  }
  for (std::ptrdiff_t node = 0; node < block.nodes; ++node) {
    F64 column[std::size_t{V}];
    for (std::ptrdiff_t v = 0; v < V; ++v) {
      column[v] = F64::load(tensor + node * block.width + m + v * F64::width);
    }
    const double* rows = block.rows + node * block.ld_rows + i;
    for (std::ptrdiff_t g = 0; g < group; ++g) {
      const F64 factor = F64::set(rows[g]);
      for (std::ptrdiff_t v = 0; v < V; ++v) {
        inner[g][v] = fma(factor, column[v], inner[g][v]);
      }
    }
  }
  for (std::ptrdiff_t g = 0; g < group; ++g) {
    const double* columns = block.columns + (i + g) * block.ld_columns + m;
    for (std::ptrdiff_t v = 0; v < V; ++v) {
      total[g] = fma(inner[g][v], F64::load(columns + v * F64::width), total[g]);
    }
  }
}

inline void grid_evaluate(const EvaluateRows& block) noexcept {
  constexpr std::ptrdiff_t group = F64::tile_rows;
  constexpr std::ptrdiff_t vectors = F64::tile_vectors > 1 ? 2 : 1;
  for (std::ptrdiff_t i = 0; i < block.points; i += F64::width) {
    for (std::ptrdiff_t c = 0; c < block.channels; ++c) {
      const double* tensor = block.tensor + c * block.nodes * block.width;
      F64 eight[F64::width];
      for (std::ptrdiff_t j = 0; j < F64::width; j += group) {
        F64 total[group];
        for (F64& t : total) {
          t = F64::zero();
        }
        std::ptrdiff_t m = 0;
        for (; m + vectors * F64::width <= block.width; m += vectors * F64::width) {
          grid_evaluate_step<vectors>(block, tensor, i + j, m, total);
        }
        for (; m < block.width; m += F64::width) {
          grid_evaluate_step<1>(block, tensor, i + j, m, total);
        }
        for (std::ptrdiff_t g = 0; g < group; ++g) {
          eight[j + g] = total[g];
        }
      }
      sums(eight, block.out + c * block.ld_out + i);
    }
  }
}

inline void grid_own(const OwnProducts& block) noexcept {
  for (std::ptrdiff_t j = 0; j < block.points; j += F64::width) {
    F64 total = F64::zero();
    for (std::ptrdiff_t i = 0; i < block.nodes; ++i) {
      F64 inner = F64::zero();
      for (std::ptrdiff_t k = 0; k < block.nodes; ++k) {
        inner = fma(F64::set(block.matrix[i * block.nodes + k]), F64::load(block.list + k * block.ld + j), inner);
      }
      total = fma(inner, F64::load(block.list + i * block.ld + j), total);
    }
    (F64::load(block.out + j) * total).store(block.out + j);
  }
}

/// A column's charge at t, by its chord (row_math.cpp).
inline F64 grid_charge(const CertifyRows& rows, std::ptrdiff_t column, std::ptrdiff_t i, F64 t, F64 mass) noexcept {
  const double centre = rows.centre[column];
  const F64 below = F64::set(centre - rows.low[column]);
  const F64 above = F64::set(rows.high[column] - centre);
  const double* charges = rows.charges + (1 + 3 * column) * rows.ld + i;
  const F64 way = abs(t);
  const F64 span = select_less(t, F64::zero(), below, above);
  const F64 end = select_less(t, F64::zero(), F64::load(charges), F64::load(charges + 2 * rows.ld));
  const F64 part = way / span;
  const F64 inner = (F64::set(1.0) - part) * F64::load(charges + rows.ld) + part * end;
  const F64 outer = end + (way - span) * mass;
  const F64 distance = max(below, above) + way;
  return select_less(way, span, inner, outer) + F64::set(rows.outside + 2.0 * rows.lost) * distance +
         F64::set(rows.lost);
}

/// A number that is not finite anywhere makes `poison` NaN, which refuses the row: max would lose it.
inline void grid_certify(const CertifyRows& rows) noexcept {
  const F64 up = F64::set(1.0 + 1e-12);
  const F64 down = F64::set(1.0 - 1e-12);
  const F64 refused = F64::set(__builtin_inf());
  const F64 unit = F64::set(0x1p-53);
  for (std::ptrdiff_t i = 0; i < rows.points; i += F64::width) {
    const F64 denominator = F64::load(rows.sums + i);
    const F64 mass = F64::load(rows.charges + i) + F64::set(rows.outside + rows.lost);
    const F64 own = rows.own == nullptr ? F64::zero() : abs(F64::load(rows.own + i));
    F64 rounding = F64::set(rows.rounding) * (F64::set(rows.reach[0]) + own) + F64::set(rows.lost);
    rounding = rows.own == nullptr ? rounding : rounding + unit * abs(denominator);
    const F64 low = (denominator - (rounding + mass) * up) * down;
    F64 approximation = F64::zero();
    F64 computing = F64::zero();
    F64 largest = F64::zero();
    F64 poison = F64::zero() * low;
    for (std::ptrdiff_t c = 0; c < rows.columns; ++c) {
      const F64 sum = F64::load(rows.sums + (1 + c) * rows.ld + i);
      const F64 t = sum / denominator;
      const F64 charge = grid_charge(rows, c, i, t, mass);
      F64 reach = F64::set(rows.reach[1 + c]);
      reach = rows.own == nullptr ? reach : reach + abs(F64::load(rows.own + (1 + c) * rows.ld + i));
      const double centre = rows.centre[c];
      const double below = centre - rows.low[c];
      const double above = rows.high[c] - centre;
      F64 off = F64::set(rows.rounding) * reach +
                F64::set(rows.lost) * (F64::set((below > above ? below : above) + 1.0) + abs(t));
      off = rows.own == nullptr ? off : off + unit * abs(sum);
      off = off + abs(t) * rounding;
      poison = fma(charge + off, F64::zero(), poison);
      approximation = max(approximation, charge / low);
      computing = max(computing, off / low);
      const F64 answer = min(max(F64::set(centre) + t, F64::set(rows.low[c])), F64::set(rows.high[c]));
      largest = max(largest, abs(answer));
      answer.store(rows.out + c * rows.ld + i);
    }
    const F64 bound = select_less(F64::zero(), low, approximation * up, refused);
    // A comparison with NaN takes the last operand.
    select_less(poison, F64::set(1.0), bound, refused).store(rows.out + rows.columns * rows.ld + i);
    const F64 answering = F64::set(rows.answer) * (largest + F64::set(rows.largest_value));
    ((computing + F64::set(rows.perturbation) + answering) * up).store(rows.out + (rows.columns + 1) * rows.ld + i);
  }
}

constexpr GridKernels grid_kernels() noexcept {
  return {&grid_range,          &grid_locate,   &grid_lagrange_points,
          &grid_lagrange_nodes, &grid_expand,   &grid_weigh,
          &grid_form,           &grid_evaluate, &grid_own,
          &grid_certify,        &grid_pass};
}
