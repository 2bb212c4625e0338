#pragma once

/// Sums over the keys of a part of a cell, which the certificate and predictions work with: cells are cut into
/// `sub_bins` parts on every axis.

#include "base/parallel.hpp"
#include "engines/grid/cell_points.hpp"
#include "engines/grid/field.hpp"
#include "engines/grid/geometry.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines::grid {

/// Parts of a cell on every axis: sub_bins, or 1 where the axis has no extent.
std::vector<std::int64_t> bins_of(const Geometry& geometry);

/// Which part of its cell a point is in, from its place on an axis.
inline std::int64_t bin_of(double local, std::int64_t bins) noexcept {
  const auto bin = static_cast<std::int64_t>((local + 1.0) * (0.5 * static_cast<double>(bins)));
  return bin < bins ? bin : bins - 1;
}

/// Numbers that keys sum up to in the parts of their cells. They are one more axis, so that a tensor has few gaps: the
/// last one here, the leading one once passes along all other axes are done.
///
/// Channels: sum w; for every column sum w (v - centre); then for every column sum w |v - centre|.
Field make_masses(const CellPoints& keys, const Geometry& geometry, std::int64_t columns, const base::Context& context);

/// The values' columns: every sum over |v - tau| below is bounded by its chord between these three.
struct ColumnKnots {
  std::vector<double> low;
  std::vector<double> centre;
  std::vector<double> high;
};

/// Upper bounds: sum w; then for every column sum w |v - tau| at low, centre and high.
Field charged_masses(const Field& masses, const CellPoints& keys, const ColumnKnots& knots, base::MemoryMeter* memory);

/// Over whole cells, upper bounds: sum w; then for every column sum w |v - centre|.
Field cell_masses(const Field& masses, const CellPoints& keys, std::int64_t columns, base::MemoryMeter* memory);

}  // namespace polyattn::engines::grid
