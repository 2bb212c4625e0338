#pragma once

/// Rows of a Gaussian head from the keys near them: the exact engine's sums over blocks of keys in the order of what
/// they may weigh, until all that is left is proved to weigh too little to matter. docs/proofs/near.md has the bound.
///
/// Cost: 48 x 128 pairs for each tile of rows and block of keys that is not left out, in the arithmetic T, and a look
/// at every block for each tile. For data of any shape; worth it where a row sees few of the keys.

#include "engines/exact/near_keys.hpp"

#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::engines {

/// A ratio that counts for nothing beside a mass; it is finite, so that what is claimed of log D is.
inline constexpr double kAnyRatio = 1e200;

/// When the keys left out weigh little enough: for every row of a tile R <= ratio D and R <= mass, R what they weigh
/// at most and D what the others do.
struct NearGoal {
  double ratio = std::numeric_limits<double>::infinity();
  double mass = std::numeric_limits<double>::infinity();
  [[nodiscard]] bool limits() const noexcept {
    return ratio < std::numeric_limits<double>::infinity() || mass < std::numeric_limits<double>::infinity();
  }
};

/// Rows in tiles of rows near each other.
struct NearTiles {
  NearOrder order;
  RowList rows;
  NearBoxes boxes;
};
/// All rows of a head.
NearTiles near_tiles(const HeadProblem& problem, const NearKeys& keys, const base::Context& context);
/// `rows`: indices of the queries, which must be finite; targets are the same.
NearTiles near_tiles(const HeadProblem& problem, const NearKeys& keys, std::vector<std::int64_t> rows,
                     const base::Context& context);

/// Answers the tiles `first`, `first + step`, ... Certificates: `approximation` is what leaving out costs, `rounding`
/// that of the exact engine. `out` has log-sum-exp with its bound and both parts of the certificate, or nothing at all.
/// Returns the blocks of keys that were looked at, over all these tiles.
template <class T>
std::int64_t near_rows(const HeadProblem& problem, const NearKeys& keys, const PackedKeys<T>& packed,
                       const NearTiles& tiles, const NearGoal& goal, std::int64_t first, std::int64_t step,
                       const HeadOutputs& out, const base::Context& context);

}  // namespace polyattn::engines
