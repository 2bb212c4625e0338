#pragma once

/// Keys summed exactly. Under a dot score a few keys far out decide the radius of all rows, whatever they weigh. Such
/// keys may be set apart: every row takes them from the exact engine's tile kernel, the others, in a frame of their
/// own, from their moments, and the two parts are joined as under a causal mask (docs/theory.md, section 12).

#include "base/memory.hpp"
#include "engines/polynomial/frame.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace polyattn::engines {

/// At most so many are set apart: a superblock of the exact engine, so that a row's sums stay in one tile.
inline constexpr std::int64_t kMostOutlying = 2048;

/// Keys set apart from those of a frame. Both have the same centres, so the row factor that cancels is the same.
struct OutlyingKeys {
  std::vector<std::int64_t> index;  ///< of the head, ascending
  base::Buffer<double> key_rows;    ///< [count][dim], what `problem` reads
  base::Buffer<double> value_rows;  ///< [count][value_dim]
  HeadProblem problem;              ///< keys and values; no queries, no bias, no mask
  Frame frame;                      ///< its coordinates: extents, scales and log weights are those of these keys
  double query_norm = 0.0;          ///< |q - qc| of every row that is served is at most this
  double exponent = 0.0;            ///< whole: weights of the other keys are kept in units of 2^exponent
  double log_range = 0.0;           ///< how far the log weights spread, natural units

  [[nodiscard]] std::int64_t count() const noexcept { return static_cast<std::int64_t>(index.size()); }
};

/// The frame `whole` of all keys without the keys `apart`: recentred on those that stay, which alone decide extents,
/// scales and radius; `outlying` has the others. `whole` has nothing left out and nothing set apart. `apart`: visible
/// keys, ascending, at least one and at most kMostOutlying, not all. No causal mask. Cost: two passes over K.
Frame set_apart(const HeadProblem& problem, const Frame& whole, const QueryExtent& extent,
                std::vector<std::int64_t> apart, const base::Context& context);

}  // namespace polyattn::engines
