#pragma once

/// The points of a head in the cells of a sketch, and the fewest nodes with which their rows are expected to be
/// certified.

#include "planning/grid_choice.hpp"

#include <memory>

namespace polyattn::planning {

/// Bytes that a settled grid takes.
double grid_bytes(const engines::HeadProblem& problem, const GridChoice& choice) noexcept;

/// Whether, going by a few thousand of the points, so many rows of the sketch would be left to exact that all of it
/// takes no less than `known.limit`. Says no where the head is not much larger than that.
bool leaves_too_many(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                     const GridTry& known, double tolerance);

/// The sketch of `known` made up for the head. Nothing where its cells turn out to cost more than what there is already
/// or direct sums, or where cells, tensors and records would not fit: what does, exact at the least, is taken instead.
/// Cost: sorting the points, which is part of what the engine does anyway, and a pass over the cells' parts for each
/// number of nodes that is tried.
std::shared_ptr<GridChoice> settle_grid(const engines::HeadProblem& problem, const Request& request,
                                        const base::Context& context, const GridTry& known, double tolerance);

}  // namespace polyattn::planning
