#pragma once

/// A tile of up to 48 queries with mergeable softmax sums: the part of the exact engine that others build upon.
///
/// Tile<T> tile(dim, value_dim, score, memory);
/// tile.reset(lanes);                      fill tile.queries() with [dim][48], tile.limit(lane) with visible keys
/// absorb(packed, tiles, first, last);     key blocks [first, last), as often as wanted
/// tile.total_max(), total_sum(), ...      float64 sums relative to 2^(total_max + packed.shift)
///
/// The bits of a lane depend only on its query, its limit, the keys and the ranges absorbed.

#include "base/memory.hpp"
#include "engines/exact/packed_keys.hpp"
#include "engines/problem.hpp"
#include "simd/exact_kernels.hpp"

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
};
template <class T>
TileScoring<T> tile_scoring(const HeadScore& score, std::int64_t dim);

template <class T>
class Tile {
 public:
  /// `scoring` must outlive the tile.
  Tile(std::int64_t dim, std::int64_t value_dim, const TileScoring<T>& scoring, base::MemoryMeter* memory);

  /// Forgets every key; `lanes` queries (1 ... 48) follow. Limits become "all keys".
  void reset(std::int64_t lanes) noexcept;
  [[nodiscard]] std::int64_t lanes() const noexcept { return lanes_; }
  /// [dim][48], already multiplied by the query factor. Lanes not in use must be finite; a new tile's are zero.
  [[nodiscard]] T* queries() noexcept { return queries_.data(); }
  /// Keys [0, limit) are visible to the lane.
  void set_limit(std::int64_t lane, std::int64_t limit) noexcept { limits_[static_cast<std::size_t>(lane)] = limit; }

  /// After absorb: log2 of the reference weight, the sums relative to it ([48], [value_dim][48]), and the largest score
  /// in log2 units, bias included; -inf where no key was seen. All relative to the packed keys' shift; accumulators
  /// still carry their value_scale.
  [[nodiscard]] const double* total_max() const noexcept { return totals_.data(); }
  [[nodiscard]] const double* total_sum() const noexcept { return totals_.data() + simd::kTile; }
  [[nodiscard]] const double* accumulator() const noexcept { return totals_.data() + 2 * simd::kTile; }
  [[nodiscard]] double row_max(std::int64_t lane) const noexcept {
    return totals_[static_cast<std::size_t>(lane)] +
           static_cast<double>(live_[static_cast<std::size_t>(simd::kTile + lane)]);
  }

  /// [value_dim][48]: accumulator / sum in units of the values, clipped into their hull; NaN where no key was seen.
  const double* divide(const PackedKeys<T>& keys) noexcept;
  /// After divide: largest magnitude among a lane's averages, NaN if one of them is not finite.
  [[nodiscard]] double largest(std::int64_t lane) const noexcept { return largest_[static_cast<std::size_t>(lane)]; }

 private:
  template <class S>
  friend void absorb(const PackedKeys<S>&, std::span<Tile<S>>, std::int64_t, std::int64_t);
  void absorb_block(const simd::ExactKernels<T>& kernels, const PackedKeys<T>& keys, std::int64_t block,
                    T* scratch) noexcept;
  [[nodiscard]] simd::ExactState<T> live() noexcept;
  [[nodiscard]] simd::ExactTotals totals() noexcept;

  std::int64_t dim_;
  std::int64_t value_dim_;
  const TileScoring<T>* scoring_;
  std::int64_t lanes_ = 0;
  base::Buffer<T> queries_;           // [dim][48]
  base::Buffer<T> live_;              // max, excess, sum, limits in a block [48] each, accumulator [value_dim][48]
  base::Buffer<double> totals_;       // max, sum [48] each, accumulator, averages [value_dim][48] each
  base::Buffer<T> scratch_;           // [128][48]
  std::vector<std::int64_t> limits_;  // [48]
  std::vector<double> hull_;          // low, high [value_dim] each
  std::array<double, simd::kTile> largest_{};
};

/// Adds key blocks [first, last) to every tile. Blocks no lane may see are skipped.
template <class T>
void absorb(const PackedKeys<T>& keys, std::span<Tile<T>> tiles, std::int64_t first, std::int64_t last);

/// Bytes one tile allocates.
std::int64_t tile_bytes(std::int64_t dim, std::int64_t value_dim, std::int64_t element);

}  // namespace polyattn::engines
