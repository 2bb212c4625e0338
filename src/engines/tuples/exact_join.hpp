#pragma once

/// Joining what tiles found for the rows of one query: sums of different rows, each relative to a power of two of its
/// own, weighted with the weights and values of the outer keys, in float64 and in the order of the rows.

#include <cstdint>
#include <limits>

namespace polyattn::engines {

/// Sums over some rows of a query relative to 2^max, and what its bound needs to know of them.
struct JoinState {
  double max = -std::numeric_limits<double>::infinity();  ///< whole
  double sum = 0.0;
  double top = -std::numeric_limits<double>::infinity();   ///< largest score with all biases, less the inner shift
  double low = std::numeric_limits<double>::infinity();    ///< smallest and
  double high = -std::numeric_limits<double>::infinity();  ///< largest of the rows' largest scores, inner biases only
  double square = 0.0;                                     ///< largest |x|^2 among the rows x; NaN if one is
  double* sums = nullptr;                                  ///< [d_v]
};

/// Lanes of a tile that are rows of one query, one after the other in the last outer set.
struct JoinLanes {
  std::int64_t lanes = 0;
  const double* max = nullptr;          ///< [lanes] as Tile::total_max
  const double* sum = nullptr;          ///< [lanes]
  const double* accumulator = nullptr;  ///< [d_v][48]
  const double* power = nullptr;        ///< [lanes] log2 of the weights of the last set's keys: whole part; null: 0
  const double* factor = nullptr;       ///< [lanes] 2 to the rest
  const double* values = nullptr;       ///< [lanes][d_v]; null: 1
  double prefix_power = 0.0;            ///< the same for the keys of the other outer sets, which all lanes share
  double prefix_factor = 1.0;
  const double* prefix_values = nullptr;  ///< [d_v]; null: 1
};

void join_lanes(const JoinLanes& lanes, std::int64_t value_dim, JoinState& state) noexcept;

/// The rows of `later` follow those of `state`.
void join_states(const JoinState& later, std::int64_t value_dim, JoinState& state) noexcept;

}  // namespace polyattn::engines
