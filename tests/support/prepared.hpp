#pragma once

/// Prepared keys for tests, and problems cut and joined along their keys.

#include "support/problem.hpp"

#include <cstdint>

namespace polyattn::test {

/// Asks for all certificates and float64 output.
Prepared prepared_for(const Problem& problem, const QueryDomain& domain, const Options& options,
                      PrepareOptions rest = {});
/// `prepared` with the keys of `part`.
Prepared appended(const Prepared& prepared, const Problem& part);

/// Keys [begin, end) of every head, with their values and biases; all queries.
Problem part_of(const Problem& problem, std::int64_t begin, std::int64_t end);
/// The queries of `a` and the keys of both, which have biases or not alike.
Problem joined(const Problem& a, const Problem& b);

}  // namespace polyattn::test
