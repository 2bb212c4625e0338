#pragma once

/// One head of attention of order k >= 2 as its engines see it: k - 1 key sets, and softmax over the tuples of their
/// keys ([AS24] Definition 1.5).
///
///     s_i(j_1 ... j_m) = scale sum_l q_il k^1_{j_1 l} ... k^m_{j_m l},   m = k - 1
///     T_ic = sum exp(s + b^1_{j_1} + ... + b^m_{j_m}) v^1_{j_1 c} ... v^m_{j_m c} / sum exp(s + b^1_{j_1} + ...)
///
/// over the tuples of keys row i sees: those whose every member it sees in its own set. So what a row sees is a product
/// of intervals, less the keys whose bias is -inf.

#include "engines/problem.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

struct KeySet {
  base::Rows keys;    ///< [n_s, dim]
  base::Rows values;  ///< [n_s, value_dim]
  KeyBias bias;       ///< -inf hides a key, whose K and V may hold anything
  PositionMask mask;  ///< causal, offset and window; neither segments nor exclude_self

  [[nodiscard]] std::int64_t size() const noexcept { return keys.rows; }
};

struct TupleProblem {
  std::int64_t batch = 0;
  std::int64_t head = 0;
  base::Rows queries;        ///< [n_q, dim]
  std::vector<KeySet> sets;  ///< k - 1 of them
  double scale = 1.0;
  NonFinite non_finite = NonFinite::error;

  [[nodiscard]] std::size_t order() const noexcept { return sets.size() + 1; }
  [[nodiscard]] std::int64_t n_q() const noexcept { return queries.rows; }
  [[nodiscard]] std::int64_t dim() const noexcept { return queries.columns; }
  [[nodiscard]] std::int64_t value_dim() const noexcept { return sets.front().values.columns; }
  /// Keys of a set that a row may see by position.
  [[nodiscard]] KeyRange range(std::size_t set, std::int64_t row) const noexcept {
    return sets[set].mask.range(row, sets[set].size());
  }
};

}  // namespace polyattn::engines
