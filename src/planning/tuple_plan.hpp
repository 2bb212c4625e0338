#pragma once

/// The planner of order k >= 3: for one head the cheapest engine and arithmetic whose certificate is expected to meet the
/// tolerance. As at order 2 (decide.hpp) it only decides what is tried: execution certifies every row.

#include "base/parallel.hpp"
#include "engines/tuple_problem.hpp"
#include "planning/request.hpp"
#include "planning/tuple_facts.hpp"
#include "polyattn/report.hpp"

#include <limits>

namespace polyattn::planning {

struct TupleDecision {
  HeadPlan plan;
  TupleFacts facts;
  /// Arithmetic of the exact engine; automatic: the cheapest that meets the tolerance.
  Arithmetic exact_arithmetic = Arithmetic::automatic;
  /// A-priori bound of exact in float32 for any row; infinity where nobody asked.
  double float32_bound = std::numeric_limits<double>::infinity();
};

TupleDecision decide_tuples(const engines::TupleProblem& problem, const Request& request, const base::Context& context);

}  // namespace polyattn::planning
