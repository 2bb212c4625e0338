// Tensors of the grid: forming, and passes. Included inside the namespace of one instruction set, after its lanes. See
// grid_kernels.hpp.

#include "simd/grid_points.inl"
#include "simd/grid_rows.inl"

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

constexpr GridKernels grid_kernels() noexcept {
  return {&grid_range,
          &grid_locate,
          &grid_chebyshev_points,
          &grid_chebyshev_lists,
          &grid_expand,
          &grid_weigh,
          &grid_form,
          &grid_evaluate,
          &grid_own,
          &grid_look_up,
          &grid_certify,
          &grid_pass};
}
