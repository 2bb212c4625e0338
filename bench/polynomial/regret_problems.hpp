#pragma once

/// A fixed set of problems of every size, dimension and spread of scores, on which the planner's choices are judged.

#include "polynomial/inputs.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace polyattn::bench::polynomial {

struct RegretProblem {
  std::string name;
  Setting setting;
  std::int64_t queries = 0;  ///< fewer than keys where exact would take too long; under a causal mask the last ones
  bool causal = false;
  bool float64 = false;  ///< type of the data
};

/// The same problems every time: each number of keys as often as any other, all else drawn independently.
std::vector<RegretProblem> regret_problems();

/// The same for d from 1 to 4, down to bandwidths where no polynomial serves; queries as many as keys more often, since
/// the fastest choice takes far less than exact. No causal masks.
std::vector<RegretProblem> low_dimensional_problems();

}  // namespace polyattn::bench::polynomial
