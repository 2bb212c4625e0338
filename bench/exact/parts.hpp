#pragma once

/// The parts of the exact driver.

#include "support/part.hpp"

namespace polyattn::bench::exact {

extern const Part kShares;     ///< shares of the multiply-add peak
extern const Part kHeadSizes;  ///< head sizes between those the kernels like best
extern const Part kMasks;      ///< masks against none
extern const Part kThreads;    ///< two threads against one
extern const Part kDecoding;   ///< few queries over many keys, as a share of read bandwidth

}  // namespace polyattn::bench::exact
