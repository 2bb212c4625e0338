#pragma once

/// One head as every engine sees it, after the public boundary has checked shapes and resolved options.

#include "base/rows.hpp"
#include "polyattn/options.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

namespace polyattn::engines {

enum class ScoreKind : std::uint8_t { dot, gaussian };

/// s_ij = scale <q_i, k_j> or -sum_l (q_il - k_jl)^2 / (2 bandwidth_l^2); plus the key bias.
struct HeadScore {
  ScoreKind kind = ScoreKind::dot;
  double scale = 1.0;
  std::vector<double> bandwidth;  ///< one per axis
};

/// Keys [first, last); empty if they are equal.
struct KeyRange {
  std::int64_t first = 0;
  std::int64_t last = 0;
  [[nodiscard]] std::int64_t size() const noexcept { return last - first; }
};

/// Which keys a row may see by position: an interval for every row, less key i for row i if `exclude_self`.
struct PositionMask {
  bool causal = false;
  std::int64_t offset = 0;   ///< row i sees keys j <= i + offset; not used with segments
  bool lower_right = false;  ///< with segments: the last row of each sees its last key
  std::int64_t window = 0;   ///< w > 0: causal (i + offset - w, i + offset], else |j - i - offset| < w
  std::shared_ptr<const Segments> segments = nullptr;
  bool exclude_self = false;

  /// Rows see keys from the first on: what is known of all keys of the head is known of theirs.
  [[nodiscard]] bool from_first() const noexcept { return window == 0 && segments == nullptr; }
  /// Every row sees a prefix of the keys.
  [[nodiscard]] bool prefix() const noexcept { return window == 0 && segments == nullptr && !exclude_self; }
  /// Length of that prefix; only where prefix().
  [[nodiscard]] std::int64_t visible(std::int64_t row, std::int64_t keys) const noexcept {
    return causal ? std::clamp<std::int64_t>(row + offset + 1, 0, keys) : keys;
  }
  /// The interval, with key i in it even if `exclude_self`.
  [[nodiscard]] KeyRange range(std::int64_t row, std::int64_t keys) const noexcept;
};

/// One (batch, head) of a mask over pairs: element (i, j) at i * row_stride + j * key_stride. No data: no mask.
struct PairBoolean {
  const std::uint8_t* data = nullptr;  ///< not 0 where row i sees key j
  std::int64_t row_stride = 0;
  std::int64_t key_stride = 0;
  bool operator==(const PairBoolean&) const = default;
};
struct PairAdditive {
  const void* data = nullptr;  ///< added to the scores, natural units
  DType dtype = DType::float32;
  std::int64_t row_stride = 0;
  std::int64_t key_stride = 0;
  bool operator==(const PairAdditive&) const = default;
};

/// Masks that differ between the rows of a head.
struct PairMask {
  PairBoolean boolean;
  PairAdditive additive;
  bool operator==(const PairMask&) const = default;
  [[nodiscard]] bool any() const noexcept { return boolean.data != nullptr || additive.data != nullptr; }
};

/// Masks that are the same for every row count as key bias.
struct KeyBias {
  base::Rows rows;  ///< [n_kv, 1]; no pieces: none
  PairMask shared;  ///< row_stride 0
  bool operator==(const KeyBias&) const = default;
  [[nodiscard]] bool any() const noexcept { return !rows.pieces.empty() || shared.any(); }
};

struct HeadProblem {
  std::int64_t batch = 0;
  std::int64_t head = 0;
  base::Rows queries;  ///< [n_q, dim]
  base::Rows keys;     ///< [n_kv, dim]
  base::Rows values;   ///< [n_kv, value_dim]
  KeyBias bias;        ///< -inf hides a key, whose K and V may hold anything
  HeadScore score;
  double soft_cap = 0.0;  ///< c > 0: scores s become c tanh(s / c) before bias and masks are added
  PositionMask mask;
  PairMask pairs;
  NonFinite non_finite = NonFinite::error;
  std::int64_t sharing = 1;    ///< heads of the call with these keys
  std::int64_t positions = 0;  ///< p > 0: rows of several heads one after the other, masked as rows 0 to p - 1 of each

  [[nodiscard]] std::int64_t n_q() const noexcept { return queries.rows; }
  [[nodiscard]] std::int64_t n_kv() const noexcept { return keys.rows; }
  [[nodiscard]] std::int64_t dim() const noexcept { return queries.columns; }
  [[nodiscard]] std::int64_t value_dim() const noexcept { return values.columns; }
  [[nodiscard]] bool has_bias() const noexcept { return bias.any(); }
  /// The row of the masks that applies to a row of the queries.
  [[nodiscard]] std::int64_t position(std::int64_t row) const noexcept { return positions > 0 ? row % positions : row; }
  /// Keys a row may see by position.
  [[nodiscard]] KeyRange range(std::int64_t row) const noexcept { return mask.range(position(row), n_kv()); }
  /// Every row sees a prefix of the keys, whatever their bias.
  [[nodiscard]] bool prefix_mask() const noexcept { return mask.prefix() && !pairs.any(); }
};

/// Biases of keys [first, first + count), masks that all rows share included: NaN, +inf and -inf come through.
void load_bias(const HeadProblem& problem, std::int64_t first, std::int64_t count, double* out) noexcept;

/// out[j] += additive(row, first + j), then -inf where the boolean mask says so.
void add_pair_mask(const PairMask& mask, std::int64_t row, std::int64_t first, std::int64_t count,
                   double* out) noexcept;

/// Whether row i sees any key at all: by position, bias, and masks over pairs.
bool sees_any_key(const HeadProblem& problem, std::int64_t row);

/// Where an engine writes what it found for the rows it answered. Arrays are indexed by the row of the output, which is
/// the query's own index unless the caller gathers rows (see `RowList`). Null pointers are skipped.
struct HeadOutputs {
  base::RowSink output;   ///< [rows, value_dim]
  double* lse = nullptr;  ///< log sum_j exp(s_ij + b_j), -inf where no key is visible
  double* lse_bound = nullptr;
  double* row_max = nullptr;        ///< largest s_ij + b_j, -inf where no key is visible
  double* approximation = nullptr;  ///< certificate of the row: bound on max_c |T~ - T| is approximation + rounding
  double* rounding = nullptr;
  double* storage = nullptr;   ///< rounding to 16-bit storage
  double* relative = nullptr;  ///< eta of |T~ - T| <= eta sum p |v|; infinity where not proved
};

/// Which queries to answer and where each goes. Empty `rows`: all queries, in place.
struct RowList {
  std::vector<std::int64_t> rows;     ///< query indices
  std::vector<std::int64_t> targets;  ///< output rows, same length
  bool all = true;

  [[nodiscard]] std::int64_t count(std::int64_t n_q) const noexcept {
    return all ? n_q : static_cast<std::int64_t>(rows.size());
  }
  [[nodiscard]] std::int64_t row(std::int64_t i) const noexcept { return all ? i : rows[static_cast<std::size_t>(i)]; }
  [[nodiscard]] std::int64_t target(std::int64_t i) const noexcept {
    return all ? i : targets[static_cast<std::size_t>(i)];
  }
};

/// An interval that holds every key the rows of the head may see by position: all of them where rows see keys from the
/// first on, else the shortest.
KeyRange seen_keys(const HeadProblem& problem) noexcept;

/// (query, key) pairs of these rows visible by position; hidden keys and masks over pairs are not looked at.
double visible_pairs(const HeadProblem& problem, const RowList& rows) noexcept;

}  // namespace polyattn::engines
