#pragma once

/// Lists of cell numbers, ascending, and who is within a band of whom along an axis.

#include "engines/grid/geometry.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines::grid {

using CellList = std::vector<std::int64_t>;

/// One pass along an axis: which cells it makes, and out of which.
struct PassCells {
  CellList targets;
  /// sources[t * (2 band + 1) + o + band]: place, among the cells before the pass, of the cell `o` cells before target
  /// t; -1 if there is none. The band is the axis's `far_band`.
  std::vector<std::int32_t> sources;
  /// Targets in an order in which neighbours share most of their sources; empty: as they are.
  std::vector<std::int32_t> order;
};

/// The passes from cells with keys to cells with queries, axis by axis: pass l makes the cells that keys reach through
/// axes up to l and queries through the others, no more. Cost: proportional to the cells times the band.
std::vector<PassCells> find_passes(const Geometry& geometry, const CellList& keys, const CellList& queries);

}  // namespace polyattn::engines::grid
