#pragma once

/// Key blocks as the kernel for single queries reads them: where they lie in memory if their layout allows, else
/// through a copy in cache without the keys nobody sees.

#include "base/memory.hpp"
#include "engines/exact/key_source.hpp"
#include "engines/exact/key_statistics.hpp"
#include "engines/exact/packed_bias.hpp"
#include "engines/problem.hpp"
#include "simd/exact_kernels.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// One thread's view of the key blocks of a head, and what it gathered of them.
template <class T>
class RowBlocks {
 public:
  RowBlocks(const HeadProblem& problem, const PackedBias<T>& biases, const KeyRange& seen);

  /// Block b; false if no key of it is visible. Valid until the next call.
  bool open(std::int64_t b);
  [[nodiscard]] const simd::ExactRows<T>& rows() const noexcept { return rows_; }
  /// A mask [128] over the block's keys as one over the rows that are left.
  [[nodiscard]] const T* compact(const T* mask) noexcept;
  [[nodiscard]] simd::ExactRowStatistics<T>* statistics() noexcept { return &statistics_; }
  /// After every block: takes back what padding added to the sums of the values.
  void close() noexcept;
  /// What was seen, into what other threads have seen. False if keys might be infinite or NaN.
  [[nodiscard]] bool merge_into(KeyStatistics& statistics) const;

 private:
  void whole(std::int64_t b, std::int64_t first, std::int64_t count);
  void stage(std::int64_t b);
  void lay() noexcept;

  const HeadProblem& problem_;
  const PackedBias<T>& biases_;
  KeyRange seen_;
  ProblemSource<T> source_;
  simd::ExactRows<T> rows_{};
  base::Buffer<T> keys_, values_;          // [128][d], [128][d_v]
  std::vector<std::int64_t> kept_;         // positions in the block of the rows that are left
  std::array<T, simd::kKeyBlock> bias_{};  // theirs
  std::array<T, simd::kKeyBlock> mask_{};
  bool compacted_ = false;
  std::int64_t padding_ = 0;  // copies of the last row
  base::Buffer<T> gathered_;  // value_min, value_max, value_sum [d_v padded], key_square, smallest [kPadding]
  simd::ExactRowStatistics<T> statistics_{};
};

}  // namespace polyattn::engines
