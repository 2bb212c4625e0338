#pragma once

/// The parts of the polynomial driver.

#include "support/part.hpp"

namespace polyattn::bench::polynomial {

extern const Part kShares;    ///< shares of the multiply-add peak
extern const Part kSpeedups;  ///< whole calls against exact
extern const Part kCausal;    ///< causal against no mask
extern const Part kGrowth;    ///< time and memory as the number of tokens grows

}  // namespace polyattn::bench::polynomial
