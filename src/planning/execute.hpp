#pragma once

/// Carrying out a decision for one head: the chosen engine, then exact for the rows it could not certify.

#include "planning/decide.hpp"
#include "planning/head_group.hpp"

#include <cstdint>
#include <span>

namespace polyattn::planning {

/// Destinations of one head. Arrays have n_q entries; null pointers are skipped.
struct HeadDestinations {
  base::RowSink output;
  double* lse = nullptr;
  double* lse_bound = nullptr;
  double* row_max = nullptr;
  double* row_bounds = nullptr;
  Engine* row_engine = nullptr;
};

/// A head of `group`. Throws Error (not_reachable) if rows remain that no allowed engine certifies.
HeadReport execute(HeadGroup& group, const engines::HeadProblem& problem, const HeadDecision& decision,
                   const Request& request, const HeadDestinations& out, const base::Context& context);

/// Work of `execute` in units of the progress meter.
double predicted_work(const engines::HeadProblem& problem, const HeadDecision& decision);

}  // namespace polyattn::planning
