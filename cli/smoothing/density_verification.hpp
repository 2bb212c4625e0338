#pragma once

/// Comparing densities with exact sums at random queries, as verification.hpp does for attention.

#include "polyattn/smoothing.hpp"
#include "smoothing/flags.hpp"
#include "verification.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::cli {

/// What an element of `result` is held to is its own bound, and that of the exact row beside it.
Verification verify_density(const DensityResult& result, const ConstView& points, const ConstView& queries,
                            const std::vector<double>& bandwidth, bool log, const SmoothingRequest& request);

}  // namespace polyattn::cli
