#pragma once

/// The key sets of a problem as the exact engine of order k takes them: which one is innermost, what the bounds need to
/// know of each, and the outer ones in float64, hidden keys left out.

#include "base/memory.hpp"
#include "engines/exact/key_statistics.hpp"
#include "engines/tuple_problem.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// The order in which sets are taken: the innermost, whose keys fill the blocks of the tiles, has the longest rows, so
/// that the least is lost at their ends; of the others the one with the longest is last, so that rows that follow one
/// another differ in it alone. Depends on lengths, windows and visibility of the sets only.
struct SetOrder {
  std::size_t inner = 0;
  std::vector<std::size_t> outer;
};
SetOrder order_of_sets(const TupleProblem& problem);

/// What one pass over a set finds.
struct SetFacts {
  KeyStatistics statistics;          ///< of the numbers as stored; keys_exact and values_exact: float32 holds them
  double holder = 0.0;               ///< at least max_j (sum_l |k_jl|^(2m))^(1/2m), m the number of sets
  std::vector<double> bias;          ///< [n_s] natural units
  std::vector<std::int64_t> before;  ///< [n_s + 1] keys before each that are not hidden

  [[nodiscard]] std::int64_t visible(const KeyRange& range) const noexcept {
    return before[static_cast<std::size_t>(range.last)] - before[static_cast<std::size_t>(range.first)];
  }
};
/// Statistics of K and V are of the keys that some row may see, of biases of all that are not hidden. Throws Error
/// (non_finite) where the problem says so.
std::vector<SetFacts> gather_sets(const TupleProblem& problem);

/// Keys side by side in an outer set.
inline constexpr std::int64_t kOuterBlock = 64;

/// An outer set in float64, without the keys that are hidden or that no row sees.
struct OuterSet {
  std::int64_t first = 0;       ///< keys not hidden before the first
  std::int64_t count = 0;       ///< [count] below
  base::Buffer<double> keys;    ///< [blocks][d][64]
  base::Buffer<double> values;  ///< [count][d_v]
  base::Buffer<double> bias;    ///< log2 units
  base::Buffer<double> power;   ///< its whole part, rounded down
  base::Buffer<double> factor;  ///< 2^(bias - power), in [1, 2]

  [[nodiscard]] const double* key_block(std::int64_t j, std::int64_t dim) const noexcept {
    return keys.data() + j / kOuterBlock * kOuterBlock * dim + j % kOuterBlock;
  }
};
OuterSet load_outer(const TupleProblem& problem, std::size_t set, const SetFacts& facts, base::MemoryMeter* memory);
/// Bytes that load_outer allocates for `keys` keys.
std::int64_t outer_bytes(std::int64_t keys, std::int64_t dim, std::int64_t value_dim);

}  // namespace polyattn::engines
