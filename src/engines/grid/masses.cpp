#include "engines/grid/masses.hpp"

#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::engines::grid {

namespace {

using base::usize;

/// Axes of parts, then one of channels.
std::vector<std::int64_t> with_channels(std::vector<std::int64_t> bins, std::int64_t channels) {
  bins.push_back(channels);
  return bins;
}

/// Parts of a cell whose masses lie side by side, [leading][parts][channels].
struct Parts {
  std::int64_t leading;
  std::int64_t others;
  explicit Parts(const Field& masses) : leading(masses.nodes.front()), others(1) {
    for (std::size_t l = 1; l + 1 < masses.nodes.size(); ++l) {
      others *= masses.nodes[l];
    }
  }
};

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
  const std::int64_t channels = 1 + 2 * columns;
  Field field = make_field(keys.cells(), 1, with_channels(bins, channels), context.memory);
  field.exponents = keys.exponents;
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
        double* out = tensor + bin_of(place[0], bins[0]) * field.width() + rest * channels;
        out[0] += keys.channel(i, 0);
        for (std::int64_t c = 0; c < columns; ++c) {
          const double value = place[c - columns];
          out[1 + c] += value;
          out[1 + columns + c] += std::fabs(value);
        }
      }
    }
  });
  return field;
}

Field charged_masses(const Field& masses, const CellPoints& keys, const ColumnKnots& knots, base::MemoryMeter* memory) {
  const auto columns = static_cast<std::int64_t>(knots.centre.size());
  std::vector<std::int64_t> shape = masses.nodes;
  shape.back() = 1 + 3 * columns;
  Field out = make_field(keys.cells(), 1, shape, memory);
  out.exponents = masses.exponents;
  const Parts parts(masses);
  for (std::int64_t cell = 0; cell < keys.cells(); ++cell) {
    const double up = upward(keys, cell);
    const double lost = rounding_of(keys, cell);
    for (std::int64_t part = 0; part < parts.leading * parts.others; ++part) {
      const std::int64_t lead = part / parts.others;
      const std::int64_t rest = part % parts.others;
      const double* from = masses.tensor(cell) + lead * masses.width() + rest * masses.nodes.back();
      double* to = out.tensor(cell) + lead * out.width() + rest * shape.back();
      const double mass = from[0] * up;
      to[0] = mass;
      for (std::int64_t c = 0; c < columns; ++c) {
        const double first = from[1 + c];
        const double spread = from[1 + columns + c] * up;
        const double below = (knots.centre[usize(c)] - knots.low[usize(c)]) * mass;
        const double above = (knots.high[usize(c)] - knots.centre[usize(c)]) * mass;
        double* knot = to + 1 + 3 * c;
        knot[0] = std::max(0.0, below + first + lost * (spread + below)) * up;
        knot[1] = spread;
        knot[2] = std::max(0.0, above - first + lost * (spread + above)) * up;
      }
    }
  }
  return out;
}

Field cell_masses(const Field& masses, const CellPoints& keys, std::int64_t columns, base::MemoryMeter* memory) {
  std::vector<std::int64_t> shape(masses.nodes.size(), 1);
  shape.back() = 1 + columns;
  Field out = make_field(keys.cells(), 1, shape, memory);
  out.exponents = masses.exponents;
  const Parts parts(masses);
  for (std::int64_t cell = 0; cell < keys.cells(); ++cell) {
    const double up = upward(keys, cell);
    for (std::int64_t c = 0; c <= columns; ++c) {
      const double* from = masses.tensor(cell) + (c == 0 ? 0 : columns + c);
      double sum = 0.0;
      for (std::int64_t lead = 0; lead < parts.leading; ++lead) {
        for (std::int64_t rest = 0; rest < parts.others; ++rest) {
          sum += from[lead * masses.width() + rest * masses.nodes.back()];
        }
      }
      out.tensor(cell)[c] = sum * up;
    }
  }
  return out;
}

}  // namespace polyattn::engines::grid
