#pragma once

/// Looking at every score of a frame, of whatever order.

#include "base/parallel.hpp"
#include "engines/factors/frame.hpp"

namespace polyattn::engines {

/// Replaces bounds by what the scores really are. Cost: the number of tuples times `active`. The scores themselves are
/// not kept.
void scan_scores(FactorFrame& frame, const base::Context& context);

}  // namespace polyattn::engines
