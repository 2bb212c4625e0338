#pragma once

/// A tile of up to 48 queries with mergeable softmax sums: the part of the exact engine that others build upon.
///
/// Tile<T> tile(dim, value_dim, score, memory);
/// tile.reset(lanes);                      fill tile.queries() with [dim][48], tile.set_range(lane, ...)
/// absorb(packed, tiles, work, first, last);   key blocks [first, last), whole superblocks unless at the end
/// tile.total_max(), total_sum(), ...      float64 sums relative to 2^(total_max + packed.shift)
///
/// Inside, a superblock is absorbed into a `state` of its own and then flushed: whoever keeps states apart may absorb
/// superblocks in any order, in any thread, and flush them in theirs (see stream.cpp).
///
/// The bits of a lane depend only on its query, the keys it may see and their biases and masks.

#include "base/memory.hpp"
#include "engines/exact/packed_keys.hpp"
#include "engines/exact/tile_mask.hpp"
#include "engines/problem.hpp"
#include "simd/exact_kernels.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace polyattn::engines {

/// How a problem's score is computed in T, and what multiplies the queries.
template <class T>
struct TileScoring {
  simd::TileScore kind = simd::TileScore::dot;
  double query_factor = 1.0;  ///< dot: scale * log2(e), applied in float64 before rounding to T
  std::vector<T> factors;     ///< gaussian: sqrt(log2(e) / 2) / H_l; isotropic: log2(e) / (2 H^2)
  simd::ExactCap<T> cap{};
};
/// `soft_cap` 0: none.
template <class T>
TileScoring<T> tile_scoring(const HeadScore& score, std::int64_t dim, double soft_cap = 0.0);

/// What a thread needs while it absorbs.
template <class T>
struct TileWork {
  explicit TileWork(bool with_masks, base::MemoryMeter* memory)
      : scratch(simd::kKeyBlock * simd::kTile, memory), mask(with_masks ? simd::kKeyBlock * simd::kTile : 0, memory) {}
  base::Buffer<T> scratch;  // [128][48]
  base::Buffer<T> mask;     // [128][48]; none: every lane must see every key
};

template <class T>
class Tile {
 public:
  /// `scoring` must outlive the tile.
  Tile(std::int64_t dim, std::int64_t value_dim, const TileScoring<T>& scoring, base::MemoryMeter* memory);

  /// Forgets every key; `lanes` queries (1 ... 48) follow. Every lane may see all keys.
  void reset(std::int64_t lanes) noexcept;
  [[nodiscard]] std::int64_t lanes() const noexcept { return lanes_; }
  /// [dim][48], already multiplied by the query factor. Lanes not in use must be finite; a new tile's are zero.
  [[nodiscard]] T* queries() noexcept { return queries_.data(); }
  [[nodiscard]] const T* queries() const noexcept { return queries_.data(); }
  [[nodiscard]] const TileScoring<T>& scoring() const noexcept { return *scoring_; }
  /// Keys in `range` are visible to the lane, which is row `row` where masks over pairs are concerned.
  void set_range(std::int64_t lane, const KeyRange& range, std::int64_t row = 0) noexcept {
    masks_.ranges[static_cast<std::size_t>(lane)] = range;
    masks_.rows[static_cast<std::size_t>(lane)] = row;
    masks_.common = {std::max(masks_.common.first, range.first), std::min(masks_.common.last, range.last)};
  }
  /// Masks over pairs, and whether row i ignores key i. `pairs` must outlive the tile.
  void set_pairs(const PairMask* pairs, bool exclude_self) noexcept {
    masks_.pairs = pairs;
    masks_.exclude_self = exclude_self;
  }

  [[nodiscard]] const LaneMasks& masks() const noexcept { return masks_; }
  /// Whether a lane sees all of a block and no mask adds to its scores.
  [[nodiscard]] bool sees_all(std::int64_t lane, const BlockFacts& block) const noexcept {
    const KeyRange& range = masks_.ranges[static_cast<std::size_t>(lane)];
    return (masks_.pairs == nullptr || !masks_.pairs->any()) && !masks_.exclude_self && range.first <= block.first &&
           block.first + block.count <= range.last;
  }

  /// Elements of a state: what one superblock found.
  static std::int64_t state_size(std::int64_t value_dim) noexcept { return simd::kTile * (value_dim + 4); }
  /// Makes `state` that of no key seen.
  static void clear(T* state, std::int64_t value_dim) noexcept;
  /// One key block of a superblock into a state.
  void absorb_block(const simd::ExactBlock<T>& block, const BlockFacts& facts, T* state,
                    TileWork<T>& work) const noexcept;
  /// A state into the totals; the state becomes that of no key seen.
  void flush(T* state) noexcept;
  [[nodiscard]] T* own_state() noexcept { return state_.data(); }

  /// After flush: log2 of the reference weight, the sums relative to it ([48], [value_dim][48]), and the largest score
  /// in log2 units, bias included; -inf where no key was seen. All relative to the packed keys' shift; accumulators
  /// still carry their value_scale.
  [[nodiscard]] const double* total_max() const noexcept { return totals_.data(); }
  [[nodiscard]] const double* total_sum() const noexcept { return totals_.data() + 2 * simd::kTile; }
  [[nodiscard]] const double* accumulator() const noexcept { return totals_.data() + 3 * simd::kTile; }
  [[nodiscard]] double row_max(std::int64_t lane) const noexcept {
    return totals_[static_cast<std::size_t>(simd::kTile + lane)];
  }
  [[nodiscard]] simd::ExactTotals totals() noexcept;
  /// Largest finite magnitude a mask over pairs added to this lane's scores, log2 units; NaN if it holds NaN or +inf.
  [[nodiscard]] double mask_size(std::int64_t lane) const noexcept {
    return mask_sizes_[static_cast<std::size_t>(lane)];
  }
  void note_mask_size(std::int64_t lane, double size) noexcept;

  /// [value_dim][48]: accumulator / sum in units of the values, clipped into their hull; NaN where no key was seen.
  const double* divide(const KeyStatistics& keys, double value_scale) noexcept;
  /// After divide: largest magnitude among a lane's averages, NaN if one of them is not finite.
  [[nodiscard]] double largest(std::int64_t lane) const noexcept { return largest_[static_cast<std::size_t>(lane)]; }

 private:
  std::int64_t dim_;
  std::int64_t value_dim_;
  const TileScoring<T>* scoring_;
  const simd::ExactKernels<T>* kernels_;
  std::int64_t lanes_ = 0;
  LaneMasks masks_;
  base::Buffer<T> queries_;      // [dim][48]
  base::Buffer<T> state_;        // max, excess, sum, mask size [48] each, accumulator [value_dim][48]
  base::Buffer<double> totals_;  // max, top, sum [48] each, accumulator, averages [value_dim][48] each
  std::vector<double> hull_;     // low, high [value_dim] each
  std::array<double, simd::kTile> largest_{};
  std::array<double, simd::kTile> mask_sizes_{};
};

/// Adds key blocks [first, last) to every tile. Blocks no lane may see are skipped.
template <class T>
void absorb(const PackedKeys<T>& keys, std::span<Tile<T>> tiles, TileWork<T>& work, std::int64_t first,
            std::int64_t last);

/// Bytes one tile, and what a thread needs beside its tiles, allocate.
std::int64_t tile_bytes(std::int64_t dim, std::int64_t value_dim, std::int64_t element);
std::int64_t tile_work_bytes(bool with_masks, std::int64_t element);

}  // namespace polyattn::engines
