#pragma once

/// A head whose keys were prepared for a domain of queries, and keys that come later: as long as the frame carries them
/// and the plan serves the domain as well as when it was made, only they are summed.

#include "engines/polynomial/growing_sums.hpp"
#include "planning/decide.hpp"
#include "planning/values.hpp"

#include <cstdint>
#include <memory>
#include <optional>

namespace polyattn::planning {

/// What prepared keys are kept as, beside the decision, so that others can join them.
struct PreparedSums {
  engines::MomentTotals totals;
  engines::WeightUnit unit;
  ConstantAnswer constant;
  std::int64_t refused = 0;  ///< representatives without an answer when the plan was made
};

struct PreparedHead {
  HeadDecision decision;  ///< with moments, if it is for polynomials
  std::int64_t planned_keys = 0;
  std::shared_ptr<const PreparedSums> sums;  ///< likewise
};

/// Decides and sums. `problem` holds representatives of the domain as queries.
PreparedHead prepare_head(const engines::HeadProblem& problem, const Request& request, const Domain& domain,
                          const base::Context& context);

/// The head with the keys of `added`, which holds the same representatives; nothing if it is to be prepared anew: the
/// keys have doubled since it was planned, the frame does not carry those added, or more representatives than then miss
/// the tolerance. Does not read old keys. Error (non_finite) if a visible key or value among the added is not finite,
/// whatever the engine.
std::optional<PreparedHead> append_to_head(const PreparedHead& head, const engines::HeadProblem& added,
                                           const Request& request, const Domain& domain, const base::Context& context);

}  // namespace polyattn::planning
