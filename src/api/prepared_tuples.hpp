#pragma once

/// Prepared keys of order 3 and above: the parts of prepared_state.cpp that differ from order 2. Moments of the sets
/// are multiplied once; a set that grows is summed again with the others.

#include "api/prepared_state.hpp"
#include "engines/problem.hpp"
#include "engines/tuple_problem.hpp"

#include <memory>
#include <vector>

namespace polyattn::api {

/// Problems over all pieces of all sets; `q` gives batch, heads and queries.
std::vector<engines::TupleProblem> tuples_over(const detail::PreparedState& state, const ConstView& q);

/// The queries of every head, without keys, as domains are measured by.
std::vector<engines::HeadProblem> queries_of(const std::vector<engines::TupleProblem>& tuples);

/// Decides every head and sums over all keys; shape and request are there. `q` holds the representatives.
void build_tuples(detail::PreparedState& state, const ConstView& q, const base::Context& context);

/// The state with a piece more in every set; null: none in this one.
std::shared_ptr<const detail::PreparedState> extended_tuples(const detail::PreparedState& state,
                                                             const std::vector<std::shared_ptr<const KeyPiece>>& added);

}  // namespace polyattn::api
