#pragma once

/// The parts of the driver about attention of order 3 and above.

#include "support/part.hpp"

namespace polyattn::bench::order {

extern const Part kPolynomial;  ///< the planner's choice where scores are bounded: over exact, growth, causal
extern const Part kExact;       ///< exact: shares of the multiply-add peak, and what a row of a large problem takes

}  // namespace polyattn::bench::order
