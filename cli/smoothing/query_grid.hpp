#pragma once

/// Queries on a regular grid: --on-grid AxB, over the box of the points or one that is given.

#include "polyattn/view.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace polyattn::cli {

/// As given.
struct GridFlags {
  std::optional<std::string> on_grid, box, margin;
};

struct GridRequest {
  std::vector<std::int64_t> counts;  ///< along each axis, at least 1
  std::vector<std::pair<double, double>>
      box;              ///< lowest and highest coordinate of each axis; empty: that of the points
  double margin = 0.0;  ///< added on every side of the box of the points, in bandwidths
};

struct QueryGrid {
  /// Coordinates along each axis, rising, the first and the last on the border; the middle if there is but one.
  std::vector<std::vector<double>> axes;
  std::vector<double> points;  ///< [product of the counts, d]: the last axis varies fastest

  [[nodiscard]] std::vector<std::int64_t> dims() const;
  [[nodiscard]] ConstView view() const;
};

/// Nothing if no grid is asked for. Throws UsageError.
std::optional<GridRequest> grid_request(const GridFlags& flags);

/// Throws UsageError if the grid has not `dim` axes, and Error (out_of_memory) if its queries, with `columns` results
/// each, would need more than `most_bytes` or than the machine has.
void check_grid(const GridRequest& request, std::int64_t dim, std::int64_t columns, std::uint64_t most_bytes);

/// The grid over `points` [1, 1, n, d], margins in units of `bandwidth` (one, or one for each axis). Coordinates that
/// are not finite are not looked at.
QueryGrid make_grid(const GridRequest& request, const ConstView& points, const std::vector<double>& bandwidth);

}  // namespace polyattn::cli
