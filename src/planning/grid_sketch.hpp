#pragma once

/// A grid for a head, from the extents of its points alone: sides of cells, nodes, bands, and what it would cost. The
/// density of the keys is taken as even; what a head really needs is seen once its points are in their cells
/// (grid_choice.hpp). Sketches decide what is tried, never what is certified.

#include "engines/grid/layout.hpp"
#include "planning/cost_model.hpp"
#include "planning/request.hpp"

#include <optional>
#include <vector>

namespace polyattn::planning {

struct GridSketch {
  std::vector<engines::grid::ScaledAxis> scaled;
  std::vector<engines::grid::AxisChoice> axes;
  int sub_bins = 2;
  double error = 0.0;    ///< estimated sum of |kernel's error| over sum of kernel
  double seconds = 0.0;  ///< predicted, one thread
};

/// Part of the values' range that answers are away from values, as a rule.
inline constexpr double kGridDistance = 0.35;

/// The cheapest grid whose estimated error is at most `error`; none if no grid serves the head (too many cells or
/// dimensions, scores that grow without bound).
std::optional<GridSketch> sketch_grid(const engines::HeadProblem& problem, const engines::grid::Extents& extents,
                                      double error);

/// The cells that the passes of a head make, axis by axis, and out of how many in all, within the band and the far
/// band.
struct PassWork {
  double targets = 0.0;
  double near = 0.0;
  double far = 0.0;
};

/// Seconds of one thread, of a processor without calibration: see CostModel::slowness. The sketch alone takes all cells
/// of the box for occupied, up to three for each point; `passes` says how many they are.
double grid_seconds(const engines::HeadProblem& problem, const GridSketch& sketch);
double grid_seconds(const engines::HeadProblem& problem, const GridSketch& sketch, const std::vector<PassWork>& passes);

/// No grid takes less time than this for so many points: to pass over heads without looking at them.
double least_grid_seconds(const engines::HeadProblem& problem) noexcept;

/// What it costs to find out: extents, range of the values, and sketches, which take longer where scores are large and
/// where many decimal digits are asked for.
double grid_search_seconds(const engines::HeadProblem& problem, double radius, double digits) noexcept;

}  // namespace polyattn::planning
