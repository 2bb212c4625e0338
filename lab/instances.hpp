#pragma once

/// Generated instances of problems about three sets of binary vectors.

#include "lab/three_ov.hpp"

#include <cstdint>

namespace polyattn::lab {

/// `count` vectors of `dimension` independent bits in each set, each 1 with probability `ones` in [0, 1]; the same for
/// the same seed everywhere. Throws Error (invalid_argument).
ThreeOv random_three_ov(std::int64_t count, std::int64_t dimension, double ones, std::uint64_t seed);

}  // namespace polyattn::lab
