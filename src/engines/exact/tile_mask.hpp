#pragma once

/// Which keys of a block the lanes of a tile may see, and what masks over pairs add to their scores.

#include "engines/problem.hpp"
#include "simd/exact_kernels.hpp"

#include <array>
#include <cstdint>

namespace polyattn::engines {

/// Whether rows differ in what they see or add.
inline bool needs_masks(const HeadProblem& problem) noexcept {
  return problem.mask.causal || !problem.mask.prefix() || problem.pairs.any();
}

struct LaneMasks {
  std::array<KeyRange, simd::kTile> ranges{};
  KeyRange common;                               ///< every lane sees these keys
  std::array<std::int64_t, simd::kTile> rows{};  ///< rows of the head, for masks over pairs
  const PairMask* pairs = nullptr;
  bool exclude_self = false;
};

/// What is known of a key block beside its numbers.
struct BlockFacts {
  std::int64_t first = 0;     ///< index of its first key
  std::int64_t count = 0;     ///< keys in it
  bool finite_values = true;  ///< no value is infinite or NaN
  bool finite = true;         ///< keys and values of the head are finite
};

/// The keys of a block that some lane may see by position, relative to the block, and whether all lanes see all of
/// them.
struct BlockView {
  std::int64_t first = 0;
  std::int64_t last = 0;
  bool all = true;
};
BlockView view_block(const LaneMasks& masks, std::int64_t lanes, std::int64_t first, std::int64_t count) noexcept;

/// Fills mask [128][48] for keys [view.first, view.last) of the block, log2 units, -inf where hidden; `staged` has room
/// for [48][128]. Raises size[48] to the largest finite magnitude added, NaN for NaN or +inf. Lanes not in use see
/// nothing. Keys whose `bias` (null: none) is -inf stay hidden, whatever is added. False if no lane sees any of the
/// keys.
template <class T>
bool fill_mask(const LaneMasks& masks, std::int64_t lanes, const BlockFacts& block, const BlockView& view, T* staged,
               T* mask, T* size, const T* bias = nullptr) noexcept;

/// The same for one lane, keys one after the other.
template <class T>
bool fill_row_mask(const LaneMasks& masks, std::int64_t lane, const BlockFacts& block, T* mask, T& size,
                   const T* bias = nullptr) noexcept;

}  // namespace polyattn::engines
