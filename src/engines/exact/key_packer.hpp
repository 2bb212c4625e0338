#pragma once

/// Packs key blocks in the order the kernels read them, and gathers what the bounds need in passing. One for each
/// thread.

#include "base/memory.hpp"
#include "engines/exact/key_source.hpp"
#include "engines/exact/key_statistics.hpp"
#include "engines/exact/packed_bias.hpp"
#include "simd/exact_kernels.hpp"

#include <cstdint>

namespace polyattn::engines {

/// Whether what was read of a block is finite.
struct BlockFinite {
  bool values = true;
  bool all = true;  ///< keys too
};

template <class T, class Source>
class KeyPacker {
 public:
  KeyPacker(const Source& source, std::int64_t count, std::int64_t dim, std::int64_t value_dim, const KeyRange& seen);

  /// Block b into keys [16][dim][8] and values as ExactBlock::values. Keys that are hidden or not seen are never read
  /// and packed as zeros.
  BlockFinite pack(std::int64_t b, const PackedBias<T>& biases, T* keys, T* values);
  /// What was seen since the beginning, into what other threads have seen.
  void merge_into(KeyStatistics& statistics) const;
  /// First NaN or infinity in storage.
  [[nodiscard]] const Position& bad() const noexcept { return bad_; }
  /// Room for the statistics of no keys.
  static void prepare(KeyStatistics& statistics, std::int64_t dim, std::int64_t value_dim);
  static std::int64_t bytes(std::int64_t dim, std::int64_t value_dim) noexcept;

 private:
  struct Rows {
    const T* data;
    std::int64_t stride;
  };
  void note(std::int64_t j, std::int64_t count, const Rows& keys, const Rows& values, BlockFinite& block);
  bool lie_ready(std::int64_t first, Rows& keys, Rows& values) const noexcept;

  Source source_;
  std::int64_t count_, dim_, value_dim_;
  KeyRange seen_;
  std::int64_t key_stride_, value_stride_;
  const simd::ExactKernels<T>& kernels_;
  base::Buffer<T> key_rows_, value_rows_;  // [16][stride], zeros up to a multiple of kPadding
  base::Buffer<T> key_min_, key_max_, value_min_, value_max_;
  base::Buffer<T> value_sum_, smallest_value_;  // [d_v padded], [kPadding]
  double max_square_ = 0.0;
  bool finite_ = true;
  Position bad_ = kNowhere;
};

}  // namespace polyattn::engines
