#pragma once

/// Generated instances of nearest neighbours, the same on every machine for a seed.

#include "lab/bits.hpp"

#include <cstdint>

namespace polyattn::lab {

struct NearestInstance {
  BitVectors a, b;
};

/// `rows` and `keys` vectors of `dimension` independent fair bits.
NearestInstance random_nearest(std::int64_t rows, std::int64_t keys, std::int64_t dimension, std::uint64_t seed);

/// As above, but every second row of a is a random key of b with `distance` bits flipped. 0 <= distance <= dimension
/// and at least one key if there are two rows, or Error (invalid_argument).
NearestInstance planted_nearest(std::int64_t rows, std::int64_t keys, std::int64_t dimension, std::int64_t distance,
                                std::uint64_t seed);

}  // namespace polyattn::lab
