#pragma once

/// What rows are charged, by the part of the cell they are in: the error of the kernel summed over the keys.

#include "base/parallel.hpp"
#include "engines/grid/cells.hpp"
#include "engines/grid/field.hpp"
#include "engines/grid/geometry.hpp"
#include "engines/grid/masses.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines::grid {

/// On one axis, between parts of cells up to `far_band` apart: upper bounds of kappa and of |kappa~ - kappa|, rounding
/// of positions included; and kappa between the middles of the parts.
struct PartMatrices {
  AxisMatrices peak;
  AxisMatrices error;
  AxisMatrices sum;  ///< of the two
  AxisMatrices middle;
};
PartMatrices part_matrices(const Axis& axis, int sub_bins);

/// sum_B [prod (peak + error) - prod peak] mass_B at the parts of the queries' cells, by positive passes: (X, Y) ->
/// (peak X, (peak + error) Y + error X). Upper bounds, rounding included. Tensors: [channel][part of the cell].
Field charge_rows(const Field& charged, const std::vector<PassCells>& passes, const Geometry& geometry,
                  const base::Context& context);

/// sum_B prod peak mass_B over whole cells, an upper bound.
Field reach_rows(const Field& cells, const std::vector<PassCells>& passes, const Geometry& geometry,
                 const base::Context& context);

/// sum_B prod kappa(middles) mass_B: estimates.
Field estimate_rows(const Field& masses, const std::vector<PassCells>& passes, const Geometry& geometry,
                    const base::Context& context);

/// Any mass below this, in the units of a cell, may have been lost to underflow: rows are charged it once more.
inline constexpr double kLostMass = 0x1p-900;

}  // namespace polyattn::engines::grid
