#pragma once

/// What the exact engine's bounds need to know about the keys of a head.

#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::engines {

/// What the bounds need to know about the visible keys (bias not -inf) of a head. Plain numbers, so that a planner can
/// fill them in from a statistics pass of its own.
struct KeyStatistics {
  std::int64_t keys = 0;  ///< all keys, hidden ones included
  std::int64_t visible = 0;
  std::int64_t first_visible = std::numeric_limits<std::int64_t>::max();
  double max_norm = 0.0;                                            ///< at least max_j |k_j|
  std::vector<double> key_min;                                      ///< [d]; +inf where no key is visible
  std::vector<double> key_max;                                      ///< [d]; -inf where no key is visible
  std::vector<double> value_min;                                    ///< [d_v]
  std::vector<double> value_max;                                    ///< [d_v]
  double smallest_value = std::numeric_limits<double>::infinity();  ///< smallest non-zero |v|
  double bias_min = std::numeric_limits<double>::infinity();        ///< natural units, visible keys
  double bias_max = -std::numeric_limits<double>::infinity();
  /// Largest distance of a bias below the largest of its key block, natural units; when unknown bias_max - bias_min is
  /// always right.
  double bias_spread = 0.0;
  bool keys_exact = true;    ///< the arithmetic type holds every key exactly
  bool values_exact = true;  ///< and every value
  bool finite = true;        ///< keys and values are finite, in storage and in the arithmetic type
  /// [d_v] sums of the visible values, unweighted, roughly (in T); empty where nobody gathered them.
  std::vector<double> value_sum;

  /// Largest max - min and largest magnitude over the value columns; 0 if no key is visible.
  [[nodiscard]] double value_range() const noexcept;
  [[nodiscard]] double largest_value() const noexcept;
};

}  // namespace polyattn::engines
