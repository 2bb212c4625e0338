#pragma once

/// The grid as a candidate: points in their cells, and the fewest nodes with which their rows are expected to be
/// certified.

#include "engines/grid/head.hpp"
#include "engines/polynomial/moments.hpp"
#include "planning/decide.hpp"
#include "planning/glance.hpp"
#include "planning/grid_sketch.hpp"

#include <memory>
#include <optional>

namespace polyattn::planning {

/// All that was fixed by planning, and what of the work was done.
struct GridChoice {
  engines::ValueRange values;
  GridSketch sketch;
  engines::grid::GridHead head;
  engines::grid::Field charges;
  double bound = 0.0;         ///< predicted, of the rows that are expected to be answered
  double share = 0.0;         ///< of the rows expected to go to exact
  double rest_seconds = 0.0;  ///< predicted for them
};

/// What was measured for a grid, kept from one try to the next.
struct GridTry {
  std::shared_ptr<const NearChoice> near;  ///< direct sums, if they are worth a look
  std::optional<engines::grid::Extents> extents;
  std::optional<engines::ValueRange> values;
  std::optional<GridSketch> sketch;
  std::optional<Glance> seen;  ///< at polynomials
  double limit = 0.0;          ///< seconds of what there is already
  double slowness = 1.0;       ///< of the calibrated machine
  double exact_seconds = 0.0;  ///< of the arithmetic likely to meet the tolerance, one thread
};

/// Whether a grid may be considered at all, going by options and sizes.
bool may_try_grid(const engines::HeadProblem& problem, const Request& request);

/// Makes a grid the choice of `decision` if that is cheaper, by prediction, than what the decision is so far, or if it
/// is asked for. Before anything else was looked at (`first`) only if it is far cheaper than exact and no polynomial is
/// likely to be cheaper still. Returns whether it did. Cost: a pass over Q, K and V; if a grid is promising, sorting
/// the points, which is part of what the engine does anyway.
bool try_grid(const engines::HeadProblem& problem, const Request& request, const base::Context& context, bool first,
              GridTry& known, HeadDecision& decision);

/// Work units of a head, for progress (execute_grid.cpp).
double grid_work(const engines::HeadProblem& problem, const GridChoice& choice);

/// For a grid asked for by name that cannot serve the head: every row goes to exact, and the plan says why.
void refuse_grid(const engines::HeadProblem& problem, HeadPlan& plan);

}  // namespace polyattn::planning
