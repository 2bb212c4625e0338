#pragma once

/// From extents and choices to the geometry of a head.

#include "base/parallel.hpp"
#include "engines/grid/geometry.hpp"
#include "engines/problem.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines::grid {

/// Where queries and visible keys are, per axis of the points.
struct Extents {
  std::vector<double> query_low;
  std::vector<double> query_high;
  std::vector<double> key_low;
  std::vector<double> key_high;
  double largest_bias = 0.0;  ///< magnitude
  std::int64_t visible = 0;   ///< keys
};

/// Checks that queries and visible keys are finite: Error (non_finite) names the first that is not. Cost: a pass over Q
/// and K.
Extents measure_extents(const HeadProblem& problem, const base::Context& context);

/// One axis of the points in units of h: where queries and keys are about a common origin, and how it got there.
struct ScaledAxis {
  double query_factor = 1.0;  ///< u = query_factor (q - query_centre)
  double query_centre = 0.0;
  double key_factor = 1.0;  ///< t = key_factor (k - key_centre)
  double key_centre = 0.0;
  double low = 0.0;  ///< of u and t
  double high = 0.0;
  [[nodiscard]] double extent() const noexcept { return high - low; }
};

/// The kernel of a Gaussian score is exp(-(u - t)^2) already. For the dot score exp(s) is that times exp(u^2) exp(t^2),
/// and u / t may be scaled at will: `widen` is (extent of u / extent of t). Only for positive scales.
std::vector<ScaledAxis> scale_axes(const HeadProblem& problem, const Extents& extents, double widen);

/// What is chosen for an axis of the points.
struct AxisChoice {
  int lattice = 0;  ///< side of cells: numerics::axis_lattice()[lattice]
  int nodes = 1;    ///< 1: only where the extent is 0
  int band = 0;
  int far_band = 0;
};

/// Error (invalid_argument) is never raised: false if there would be too many cells.
bool make_geometry(const HeadProblem& problem, const Extents& extents, const std::vector<ScaledAxis>& scaled,
                   const std::vector<AxisChoice>& choices, int sub_bins, Geometry& out);

/// Cells along an axis of this extent.
std::int64_t cells_of(double extent, double side) noexcept;

}  // namespace polyattn::engines::grid
