#pragma once

/// One head as every engine sees it, after the public boundary has checked shapes and resolved options.

#include "base/rows.hpp"
#include "polyattn/options.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

enum class ScoreKind : std::uint8_t { dot, gaussian };

/// s_ij = scale <q_i, k_j> or -sum_l (q_il - k_jl)^2 / (2 bandwidth_l^2); plus the key bias.
struct HeadScore {
  ScoreKind kind = ScoreKind::dot;
  double scale = 1.0;
  std::vector<double> bandwidth;  ///< one per axis
};

/// Keys a row may see by position: a prefix of length visible(i).
struct PrefixMask {
  bool causal = false;
  std::int64_t offset = 0;  ///< row i sees keys j <= i + offset

  [[nodiscard]] std::int64_t visible(std::int64_t row, std::int64_t keys) const noexcept {
    return causal ? std::clamp<std::int64_t>(row + offset + 1, 0, keys) : keys;
  }
};

struct HeadProblem {
  std::int64_t batch = 0;
  std::int64_t head = 0;
  base::Rows queries;  ///< [n_q, dim]
  base::Rows keys;     ///< [n_kv, dim]
  base::Rows values;   ///< [n_kv, value_dim]
  base::Rows bias;     ///< [n_kv, 1]; no pieces: no bias. -inf hides a key, whose K and V may hold anything
  HeadScore score;
  PrefixMask mask;
  NonFinite non_finite = NonFinite::error;

  [[nodiscard]] std::int64_t n_q() const noexcept { return queries.rows; }
  [[nodiscard]] std::int64_t n_kv() const noexcept { return keys.rows; }
  [[nodiscard]] std::int64_t dim() const noexcept { return queries.columns; }
  [[nodiscard]] std::int64_t value_dim() const noexcept { return values.columns; }
  [[nodiscard]] bool has_bias() const noexcept { return !bias.pieces.empty(); }
};

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

}  // namespace polyattn::engines
