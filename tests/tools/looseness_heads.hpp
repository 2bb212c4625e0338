#pragma once

/// The heads of the table of looseness (looseness.cpp).

#include "engines/polynomial_head.hpp"

#include <cstdint>

namespace polyattn::test {

inline constexpr std::int64_t kLoosenessRows = 96;
inline constexpr std::int64_t kLoosenessKeys = 500;

/// Head number `index`: its kind, dimensions, columns and values follow from the number, its data from seeds. A third
/// each are clouds under the dot score (2 to 16 dimensions), Gaussian kernels on normal, uniform, clustered or
/// long-tailed data (2 to 4) at bandwidths of 0.7 to 2.5, and clouds with key biases; 1, 4 or 16 value columns, which
/// depend on the keys, evenly or skewed, or are noise.
HeadData looseness_head(std::int64_t index);

}  // namespace polyattn::test
