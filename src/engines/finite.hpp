#pragma once

/// Naming the first NaN or infinity of an input.

#include "engines/problem.hpp"

#include <cstdint>

namespace polyattn::engines {

/// Throws Error (non_finite) if rows [first, first + count), given as float64 [count][columns], hold a NaN or infinity
/// and the problem does not propagate them. The message names the tensor and the position.
void require_finite(const HeadProblem& problem, const char* tensor, const double* rows, std::int64_t first,
                    std::int64_t count, std::int64_t columns);

/// The same for rows given column by column: element (r, c) is columns_of[c * ld + r].
void require_finite_columns(const HeadProblem& problem, const char* tensor, const double* columns_of,
                            std::int64_t first, std::int64_t count, std::int64_t columns, std::int64_t ld);

/// The same for all of Q and for K and V of keys whose bias is not -inf, in this order.
void require_finite_inputs(const HeadProblem& problem);

}  // namespace polyattn::engines
