#pragma once

/// Near neighbours by looking up everything near: [AS23], Lemma 4.7, first case. With keys in a hash table, all vectors
/// within distance t of a row are sum_{i <= t} C(d, i) probes (the paper counts the last term of this sum alone).

#include "lab/bits.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace polyattn::lab {

/// sum_{i <= near} C(dimension, i), or 2^62 if it is more. `near` of 0 to `dimension`.
std::int64_t ball_size(std::int64_t dimension, std::int64_t near) noexcept;

/// Whether the first case of Lemma 4.7 is to be taken: ball_size <= keys^0.9, so that n rows against n keys take n^1.9
/// probes at most (its C_gamma is 0.1).
bool table_is_cheap(std::int64_t dimension, std::int64_t near, std::int64_t keys) noexcept;

class HammingTable {
 public:
  /// Of equal keys the first is kept. Copies what it needs. Cost: one insertion a key.
  explicit HammingTable(const BitVectors& keys);

  /// The index of a key within `near` of `row`, a vector of the same dimension; of the nearest one, since balls are
  /// searched from the inside out. Cost: ball_size(dimension, near) probes at most.
  [[nodiscard]] std::optional<std::int64_t> within(std::span<const std::uint64_t> row, std::int64_t near) const;

 private:
  struct Hash {
    std::size_t operator()(const std::vector<std::uint64_t>& words) const noexcept;
  };
  std::int64_t dimension_;
  std::unordered_map<std::vector<std::uint64_t>, std::int64_t, Hash> keys_;
};

}  // namespace polyattn::lab
