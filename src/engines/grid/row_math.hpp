#pragma once

/// The certificate of rows, from their sums and what they are charged. docs/proofs/grid.md has statement and proof.

#include "engines/grid/geometry.hpp"
#include "engines/grid/masses.hpp"

#include <cstdint>

namespace polyattn::engines::grid {

/// What is the same for all rows of a head.
struct RowRules {
  const ColumnKnots& knots;
  double rounding = 0.0;  ///< R: sums are off by R times what reaches the row
  double outside = 0.0;
  double range = 0.0;
  double largest_value = 0.0;
  double perturbation = 0.0;  ///< zeta
  bool wants_lse = false;
};

/// Rows of one cell, lanes side by side: element i of column c at c * ld + i.
struct RowBatch {
  const double* sums;     ///< [1 + columns]: D^, N^ of centred values
  const double* charges;  ///< [1 + 3 columns]: of sum w, and at the columns' knots
  const double* own;      ///< [1 + columns] weight and weighted values of the row's own key, left out; null: none
  const double* reach;    ///< [1 + columns], of the cell
  double exponent;        ///< sums are in units of 2^exponent
  std::int64_t ld;
  std::int64_t count;
};

/// out[i * width ...] = answers, approximation (infinity: refused), rounding but for storing the answer; with
/// log-sum-exp also log D without the row's term, and a bound of it.
void certify_batch(const RowRules& rules, const RowBatch& batch, double* out, std::int64_t width) noexcept;

struct LogSumExp {
  double value = 0.0;
  double bound = 0.0;
};
/// Adds the term that depends on the query alone.
LogSumExp finish_log_sum_exp(const Geometry& geometry, const LogSumExp& row, const double* query) noexcept;

}  // namespace polyattn::engines::grid
