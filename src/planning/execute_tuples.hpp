#pragma once

/// Carrying out a decision for one head of order k >= 3.

#include "planning/execute.hpp"
#include "planning/tuple_plan.hpp"

namespace polyattn::planning {

/// Throws Error (not_reachable) if rows remain that no allowed engine certifies.
HeadReport execute_tuples(const engines::TupleProblem& problem, const TupleDecision& decision, const Request& request,
                          const HeadDestinations& out, const base::Context& context);

/// Work of `execute_tuples` in units of the progress meter.
double predicted_tuple_work(const engines::TupleProblem& problem, const TupleDecision& decision);

}  // namespace polyattn::planning
