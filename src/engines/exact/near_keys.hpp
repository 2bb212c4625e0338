#pragma once

/// Keys of a Gaussian head in blocks of keys near each other, so that rows may leave out blocks that are far away:
/// docs/proofs/near.md.

#include "engines/exact/near_order.hpp"
#include "engines/exact/packed_keys.hpp"
#include "engines/problem.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// The visible keys in their order, and what is known of each block of kKeyBlock of them.
struct NearKeys {
  NearOrder order;
  std::vector<std::int64_t> place;  ///< of each key; -1: hidden. Empty unless rows ignore their own key
  NearBoxes boxes;                  ///< one for each block
  std::vector<double> log_mass;     ///< [blocks] at least the logarithm of the weights of a block, biases alone
  NearRates rates;                  ///< [d] 1 / 2 H_l^2, no more than that
  double range = 0.0;               ///< of the values: the largest of a column
  std::vector<double> lowest_key;   ///< [d]
  std::vector<double> highest_key;  ///< [d]

  [[nodiscard]] std::int64_t blocks() const noexcept { return boxes.count; }
  [[nodiscard]] std::int64_t dim() const noexcept { return static_cast<std::int64_t>(rates.size()); }
};

/// Whether rows of this head may leave out keys: a Gaussian score with d <= kMostNearDim, no mask over pairs, windows
/// or segments, no soft cap, not causal.
bool supports_near(const HeadProblem& problem) noexcept;

/// Visible keys must be finite, and there must be one. `range` is that of the visible values, or more.
/// Cost: O(n log n).
NearKeys near_keys(const HeadProblem& problem, double range, const base::Context& context);

/// The keys packed in that order. In float32 coordinates are taken from the middle of their block (block_middle), where
/// float32 has digits enough for any extent; in float64 as they are.
template <class T>
PackedKeys<T> pack_near(const HeadProblem& problem, const NearKeys& keys, const base::Context& context);

/// Where the coordinates of a block are measured from.
template <class T>
double block_middle(const NearKeys& keys, std::int64_t block, std::int64_t axis) noexcept {
  if (sizeof(T) == sizeof(double)) {
    return 0.0;
  }
  const auto at = static_cast<std::size_t>(axis * keys.boxes.count + block);
  return 0.5 * keys.boxes.low[at] + 0.5 * keys.boxes.high[at];
}

/// Bytes that near_keys and pack_near hold at once.
std::int64_t near_bytes(std::int64_t rows, std::int64_t n_kv, std::int64_t dim, std::int64_t value_dim,
                        std::int64_t element);

}  // namespace polyattn::engines
