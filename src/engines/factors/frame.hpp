#pragma once

/// Where the scores of one key head, and of the query heads that share it, lie after centring:
///
///     s_ij = s'_ij + row_i + column_j,    s'_ij = sum_l a_l (q_il - c_l)(k_jl - kappa_l)  in [low, high]
///
/// (docs/theory.md, section 2). Any centres are correct. Those are taken, out of a few for either side, that make the
/// radius smallest while exp(row_i) and exp(column_j) stay within range.

#include "base/memory.hpp"
#include "base/parallel.hpp"
#include "engines/problem.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace polyattn::engines {

/// Coordinates are y_il = weight_l (q_il - c_l) and x_jl = shrink_l (k_jl - kappa_l) with |x| <= 1, shrink a power of
/// two, so that s'_ij = sum_l y_il x_jl. Axes on which either side is constant are left out: axes come in the order of
/// `axis`, `active` of them.
struct FactorFrame {
  std::int64_t n_q = 0;  ///< rows of all query heads
  std::int64_t n_kv = 0;
  std::int64_t active = 0;
  base::Buffer<double> y;  ///< [n_q, active]; each within 4 roundings of exact
  base::Buffer<double> x;  ///< [n_kv, active]; 1 rounding
  base::Buffer<double> row;
  base::Buffer<double> column;
  double exponent_error = 0.0;  ///< bound on the error of row_i + column_j
  double low = 0.0;             ///< at most 0
  double high = 0.0;            ///< at least 0
  double absolute = 0.0;        ///< bound on sum_l |y_il x_jl|
  double radius_before = 0.0;   ///< bound on |s_ij|
  bool scanned = false;

  [[nodiscard]] double radius() const noexcept { return 0.5 * high - 0.5 * low; }
};

/// `heads` share keys and score; they are checked for NaN and infinity (Error, non_finite). The exponents row_i and
/// column_j, up to a constant moved between them, stay within `most_exponent`, or Error (not_reachable). Cost: some
/// forty passes over Q and K.
FactorFrame make_factor_frame(std::span<const HeadProblem> heads, double most_exponent, const base::Context& context);

/// Replaces bounds by what the scores really are. Cost: n_q n_kv active. The scores themselves are not kept.
void scan_scores(FactorFrame& frame, const base::Context& context);

/// The constant to be added to row_i and taken from column_j so that both stay small, and how large they then are.
struct Balance {
  double shift = 0.0;
  double largest = 0.0;
};
Balance balance(const FactorFrame& frame, double middle) noexcept;

}  // namespace polyattn::engines
