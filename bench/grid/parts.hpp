#pragma once

/// The parts of the grid driver. All on one thread, float64, d_v = 1, tolerance 1e-4 of the value range, whole calls.

#include "support/part.hpp"

namespace polyattn::bench::grid {

extern const Part kSpeedups;  ///< Gaussian scores against exact
extern const Part kSoftmax;   ///< true softmax against exact
extern const Part kPeers;     ///< against FINUFFT, at the same measured error
extern const Part kGrowth;    ///< time against the number of points and against the bandwidth

}  // namespace polyattn::bench::grid
