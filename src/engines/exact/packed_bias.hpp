#pragma once

/// Log-weights of the keys as the exact kernels take them: a whole shift for the head, a whole offset per key block
/// above its largest bias, the rest in T, so that what is left is small for the keys that matter.

#include "base/memory.hpp"
#include "engines/exact/key_statistics.hpp"
#include "engines/problem.hpp"
#include "simd/exact_kernels.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

template <class T>
class PackedBias {
 public:
  PackedBias() = default;
  /// Natural biases of `count` keys (null: 0), all of them: shift and offsets must not depend on which keys are `seen`.
  /// Fills in what `statistics` says about visibility and biases.
  PackedBias(const double* bias, std::int64_t count, const KeyRange& seen, KeyStatistics& statistics,
             base::MemoryMeter* memory);

  /// Added to every score: whole, log2 units.
  [[nodiscard]] double shift() const noexcept { return shift_; }
  /// [128] log2 units, relative to shift + offset; -inf: hidden.
  [[nodiscard]] const T* block(std::int64_t b) const noexcept {
    return bias_.size() > 0               ? bias_.data() + b * simd::kKeyBlock
           : b * simd::kKeyBlock >= tail_ ? last_.data()
                                          : kNone.data();
  }
  [[nodiscard]] T offset(std::int64_t b) const noexcept {
    return offsets_.size() > 0 ? offsets_[static_cast<std::size_t>(b)] : T(0);
  }
  [[nodiscard]] bool any_visible(std::int64_t b) const noexcept {
    return any_visible_.empty() ? b >= first_block_ && b < last_block_ : any_visible_[static_cast<std::size_t>(b)] != 0;
  }
  /// All biases are 0.
  [[nodiscard]] bool none() const noexcept { return bias_.size() == 0; }
  /// Bytes allocated for `count` keys.
  static std::int64_t bytes(std::int64_t count, bool biased) noexcept;

 private:
  static constexpr std::array<T, simd::kKeyBlock> kNone{};
  void pack(const double* bias, std::int64_t count, const KeyRange& seen, KeyStatistics& statistics,
            base::MemoryMeter* memory);

  double shift_ = 0.0;
  base::Buffer<T> bias_;     // [blocks][128]; without biases none
  base::Buffer<T> offsets_;  // [blocks]
  std::vector<std::uint8_t> any_visible_;
  std::int64_t tail_ = 0;                  // first key of a last block that is not full
  std::array<T, simd::kKeyBlock> last_{};  // its biases
  std::int64_t first_block_ = 0;
  std::int64_t last_block_ = 0;
};

}  // namespace polyattn::engines
