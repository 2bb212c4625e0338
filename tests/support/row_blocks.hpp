#pragma once

/// Blocks of rows on their way through the polynomial engine, for tests that look between its steps.

#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial/row_block.hpp"

#include <cstdint>

namespace polyattn::test {

/// Loads rows [first, first + count) of the queries and sums their moments: what certify_row_block starts from.
template <class T>
void sum_rows(const engines::HeadProblem& problem, const engines::Frame& frame,
              const engines::PreparedMoments<T>& moments, std::int64_t first, std::int64_t count,
              engines::RowBlock<T>& rows);

}  // namespace polyattn::test
