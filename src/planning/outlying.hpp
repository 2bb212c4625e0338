#pragma once

/// Which keys might be summed exactly: those farthest from where keys are as a rule. The planner tries a few numbers of
/// them and takes what is cheapest.

#include "engines/polynomial/frame.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::planning {

/// Sets of keys to try, each with those of the one before, in ascending order of keys; none where no key lies far out,
/// which a few thousand keys tell. `frame` is that of all keys. Cost where some do: a pass over K.
std::vector<std::vector<std::int64_t>> outlying_sets(const engines::HeadProblem& problem, const engines::Frame& frame,
                                                     const base::Context& context);

}  // namespace polyattn::planning
