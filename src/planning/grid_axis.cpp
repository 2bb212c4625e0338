#include "planning/grid_axis.hpp"

#include "engines/grid/row_bounds.hpp"
#include "numerics/axis_table.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace polyattn::planning {
namespace {

using base::usize;

engines::grid::Axis cells_axis(const AxisSketch& axis) {
  engines::grid::Axis out;
  out.cells = axis.cells();
  out.side = axis.side();
  out.lattice = axis.choice.lattice;
  out.nodes = axis.choice.nodes;
  out.band = static_cast<int>(std::min<std::int64_t>(axis.choice.band, out.cells - 1));
  out.far_band = static_cast<int>(std::min<std::int64_t>(std::max(axis.choice.far_band, out.band), out.cells - 1));
  return out;
}

/// Middle of a part, counted over all cells.
double middle_of(const AxisSketch& axis, double step, std::int64_t part) noexcept {
  return axis.scaled.low + (static_cast<double>(part) + 0.5) * step;
}

/// What keys of the parts of all cells weigh, relative to the heaviest; 0: there are none. Empty: all weigh 1.
std::vector<double> weights_of(const AxisSketch& axis, const engines::grid::Axis& cells) {
  const double step = cells.side / axis.sub_bins;
  std::vector<double> weights;
  for (std::int64_t part = 0; axis.weighted && part < cells.cells * axis.sub_bins; ++part) {
    const double t = middle_of(axis, step, part);
    const bool none = std::fabs(t) > axis.key_half + 0.5 * step;
    weights.push_back(none ? 0.0 : std::exp(t * t - axis.key_half * axis.key_half));
  }
  return weights;
}

/// Cells of queries that say it all: without weights one at the end and one in the middle (few cells see both ends),
/// with weights, which are alike on both sides of 0, some on one side.
std::vector<std::int64_t> telling_cells(const AxisSketch& axis, const engines::grid::Axis& cells) {
  if (!axis.weighted) {
    return {0, cells.cells / 2};
  }
  std::vector<std::int64_t> out;
  for (const double part : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    const auto cell = static_cast<std::int64_t>((part * axis.query_half - axis.scaled.low) / cells.side);
    out.push_back(std::clamp<std::int64_t>(cell, 0, cells.cells - 1));
  }
  return out;
}

AxisSums add_up(const AxisSketch& axis) {
  const engines::grid::Axis cells = cells_axis(axis);
  const engines::grid::PartMatrices matrices = engines::grid::part_matrices(cells, axis.sub_bins);
  const std::vector<double> weights = weights_of(axis, cells);
  const std::int64_t bins = axis.sub_bins;
  AxisSums worst;
  for (const std::int64_t to : telling_cells(axis, cells)) {
    for (std::int64_t i = 0; i < bins; ++i) {
      const double u = middle_of(axis, cells.side / axis.sub_bins, to * bins + i);
      if (axis.weighted && std::fabs(u) > axis.query_half + cells.side / 2.0) {
        continue;
      }
      double error = 0.0;
      double tail = 0.0;
      double kernel = 0.0;
      for (std::int64_t o = -cells.far_band; o <= cells.far_band; ++o) {
        const std::int64_t from = to - o;
        for (std::int64_t j = 0; j < bins && from >= 0 && from < cells.cells; ++j) {
          const double weight = axis.weighted ? weights[usize(from * bins + j)] : 1.0;
          const std::size_t place = usize(((o + cells.far_band) * bins + i) * bins + j);
          error += weight * matrices.error.blocks[place];
          tail += std::abs(o) > cells.band ? weight * matrices.error.blocks[place] : 0.0;
          kernel += weight * matrices.middle.blocks[place];
        }
      }
      if (kernel > 0.0) {
        worst.error = std::max(worst.error, error / kernel);
        worst.tail = std::max(worst.tail, tail / kernel);
      }
    }
  }
  return worst;
}

}  // namespace

double AxisSketch::side() const noexcept { return numerics::axis_lattice()[base::usize(choice.lattice)]; }

std::int64_t AxisSketch::cells() const noexcept {
  return choice.nodes == 1 ? 1 : engines::grid::cells_of(scaled.extent(), side());
}

AxisSums KnownSums::of(const AxisSketch& axis) {
  if (axis.choice.nodes == 1) {
    return {};
  }
  const auto [found, added] = known_.try_emplace(key(axis));
  if (added) {
    found->second = add_up(axis);
  }
  return found->second;
}

KnownSums::Key KnownSums::key(const AxisSketch& axis) {
  const std::int64_t cells = axis.cells();
  const std::int64_t band = std::min<std::int64_t>(axis.choice.band, cells - 1);
  const std::int64_t far = std::min<std::int64_t>(std::max(axis.choice.far_band, axis.choice.band), cells - 1);
  const std::int64_t seen = axis.weighted ? cells : std::min(cells, 2 * far + 2);
  return {8 * axis.choice.lattice + axis.sub_bins,
          axis.choice.nodes,
          static_cast<int>(band),
          far,
          seen + (axis.weighted      ? 0
                  : cells / 2 >= far ? 0
                                     : cells),
          axis.weighted ? axis.query_half : 0.0,
          axis.weighted ? axis.key_half : 0.0};
}

}  // namespace polyattn::planning
