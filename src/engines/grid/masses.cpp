#include "engines/grid/masses.hpp"

#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::engines::grid {

namespace {

using base::usize;

/// Factor that turns a computed sum of a cell's non-negative terms into an upper bound of it.
double upward(const CellPoints& keys, std::int64_t cell) noexcept {
  const std::int64_t points = keys.starts[usize(cell) + 1] - keys.starts[usize(cell)];
  return numerics::inflate(1.0, points + 16);
}

/// Bound on the rounding of a signed sum over a cell, over the sum of magnitudes.
double rounding_of(const CellPoints& keys, std::int64_t cell) noexcept {
  const std::int64_t points = keys.starts[usize(cell) + 1] - keys.starts[usize(cell)];
  return numerics::gamma(points + 8, numerics::kU64);
}

}  // namespace

std::vector<std::int64_t> bins_of(const Geometry& geometry) {
  std::vector<std::int64_t> bins;
  for (const Axis& axis : geometry.axes) {
    bins.push_back(axis.nodes == 1 ? 1 : geometry.sub_bins);
  }
  return bins;
}

Field make_masses(const CellPoints& keys, const Geometry& geometry, std::int64_t columns,
                  const base::Context& context) {
  const std::vector<std::int64_t> bins = bins_of(geometry);
  Field field = make_field(keys.cells(), 1 + 2 * columns, bins, context.memory);
  field.exponents = keys.exponents;
  const std::int64_t stride = bins.front() * field.width();
  const auto axes = static_cast<std::int64_t>(bins.size());
  base::parallel_for(context, base::blocks_of(keys.cells(), 8), [&](std::int64_t block, int) {
    for (std::int64_t cell = block * 8; cell < std::min(keys.cells(), block * 8 + 8); ++cell) {
      double* tensor = field.tensor(cell);
      for (std::int64_t i = keys.starts[usize(cell)]; i < keys.starts[usize(cell) + 1]; ++i) {
        const double* place = keys.record(i) + keys.first_axis;
        std::int64_t rest = 0;
        for (std::int64_t l = 1; l < axes; ++l) {
          rest = rest * bins[usize(l)] + bin_of(place[l], bins[usize(l)]);
        }
        double* out = tensor + bin_of(place[0], bins[0]) * field.width() + rest;
        out[0] += keys.channel(i, 0);
        for (std::int64_t c = 0; c < columns; ++c) {
          const double value = place[c - columns];
          out[(1 + c) * stride] += value;
          out[(1 + columns + c) * stride] += std::fabs(value);
        }
      }
    }
  });
  return field;
}

Field charged_masses(const Field& masses, const CellPoints& keys, const ColumnKnots& knots, base::MemoryMeter* memory) {
  const auto columns = static_cast<std::int64_t>(knots.centre.size());
  Field out = make_field(keys.cells(), 1 + 3 * columns, masses.nodes, memory);
  out.exponents = masses.exponents;
  const std::int64_t stride = masses.size() / masses.channels;
  for (std::int64_t cell = 0; cell < keys.cells(); ++cell) {
    const double up = upward(keys, cell);
    const double lost = rounding_of(keys, cell);
    const double* from = masses.tensor(cell);
    double* to = out.tensor(cell);
    for (std::int64_t b = 0; b < stride; ++b) {
      const double mass = from[b] * up;
      to[b] = mass;
      for (std::int64_t c = 0; c < columns; ++c) {
        const double first = from[(1 + c) * stride + b];
        const double spread = from[(1 + columns + c) * stride + b] * up;
        const double below = (knots.centre[usize(c)] - knots.low[usize(c)]) * mass;
        const double above = (knots.high[usize(c)] - knots.centre[usize(c)]) * mass;
        double* knot = to + (1 + 3 * c) * stride + b;
        knot[0] = std::max(0.0, below + first + lost * (spread + below)) * up;
        knot[stride] = spread;
        knot[2 * stride] = std::max(0.0, above - first + lost * (spread + above)) * up;
      }
    }
  }
  return out;
}

Field cell_masses(const Field& masses, const CellPoints& keys, std::int64_t columns, base::MemoryMeter* memory) {
  Field out = make_field(keys.cells(), 1 + columns, std::vector<std::int64_t>(masses.nodes.size(), 1), memory);
  out.exponents = masses.exponents;
  const std::int64_t stride = masses.size() / masses.channels;
  const std::int64_t step = out.size() / out.channels;
  for (std::int64_t cell = 0; cell < keys.cells(); ++cell) {
    const double up = upward(keys, cell);
    for (std::int64_t c = 0; c <= columns; ++c) {
      const double* from = masses.tensor(cell) + (c == 0 ? 0 : columns + c) * stride;
      double sum = 0.0;
      for (std::int64_t b = 0; b < stride; ++b) {
        sum += from[b];
      }
      out.tensor(cell)[c * step] = sum * up;
    }
  }
  return out;
}

}  // namespace polyattn::engines::grid
