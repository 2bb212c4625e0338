#pragma once

/// The key sets of a problem of order k, one by one.

#include "engines/tuple_problem.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// Set `set` as the keys of a head of order 2: its keys, values, bias and mask, with the queries and scale of the
/// problem.
HeadProblem set_problem(const TupleProblem& problem, std::size_t set);

/// Biases of all keys of a set in natural units; -inf hides a key. Throws Error (non_finite), where the problem says
/// so, for the first NaN or +inf, naming set and key.
std::vector<double> set_bias(const TupleProblem& problem, std::size_t set);

/// Throws Error (non_finite), where the problem says so, for the first NaN or infinity in Q, then in K and V of the
/// keys whose bias is not -inf, set by set. Messages say "q", "keys[0]", "values[0]", "keys[1]", ... and the position.
void require_finite_inputs(const TupleProblem& problem);

/// Tuples that row `row` may see by position.
double visible_tuples(const TupleProblem& problem, std::int64_t row) noexcept;
/// And all rows of a list together.
double visible_tuples(const TupleProblem& problem, const RowList& rows) noexcept;

}  // namespace polyattn::engines
