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

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace polyattn::engines {

/// One side of the scores: the queries, or a key set.
struct FactorSide {
  std::int64_t count = 0;
  base::Buffer<double> coordinates;  ///< [count, active]
  base::Buffer<double> exponent;     ///< [count], or empty: 0
};

/// Scores of a frame are s'_i(j_1 ...) = sum_l y_il x^1_{j_1 l} x^2_{j_2 l} ... with all |x| <= 1, half of which is
/// attained, and y in the units this leaves. At order 2: y_il = weight_l (q_il - c_l), x_jl = shrink_l (k_jl -
/// kappa_l), shrink a power of two. Axes on which either side is constant are left out: axes come in the order of
/// `axis`, `active` of them. At higher orders: tuple_frame.hpp.
struct FactorFrame {
  std::vector<FactorSide> sides;  ///< queries of all heads of the frame, then the keys
  std::int64_t active = 0;
  /// At most so many roundings for each degree in a product of entries, one of each side: in y/R, x, their powers, and
  /// the weights.
  std::int64_t roundings = 0;
  double exponent_error = 0.0;  ///< bound on the error of row_i + column_j
  double low = 0.0;             ///< at most 0
  double high = 0.0;            ///< at least 0
  double absolute = 0.0;        ///< bound on sum_l |y_il x_jl ...|
  double radius_before = 0.0;   ///< bound on |s_ij|
  bool scanned = false;

  [[nodiscard]] double radius() const noexcept { return 0.5 * high - 0.5 * low; }
  /// There is no score at all.
  [[nodiscard]] bool empty() const noexcept {
    return std::any_of(sides.begin(), sides.end(), [](const FactorSide& side) { return side.count == 0; });
  }
  /// How many scores there are.
  [[nodiscard]] double scores() const noexcept {
    double product = 1.0;
    for (const FactorSide& side : sides) product *= static_cast<double>(side.count);
    return product;
  }
  /// Rows of all factors.
  [[nodiscard]] double rows() const noexcept {
    double sum = 0.0;
    for (const FactorSide& side : sides) sum += static_cast<double>(side.count);
    return sum;
  }
};

/// `heads` share keys and score; they are checked for NaN and infinity (Error, non_finite). The exponents row_i and
/// column_j, up to a constant moved between them, stay within `most_exponent`, or Error (not_reachable). Cost: some
/// forty passes over Q and K.
FactorFrame make_factor_frame(std::span<const HeadProblem> heads, double most_exponent, const base::Context& context);

/// The constant to be added to row_i and taken from column_j so that both stay small, and how large they then are.
/// Without exponents: no shift.
struct Balance {
  double shift = 0.0;
  double largest = 0.0;
};
Balance balance(const FactorFrame& frame, double middle) noexcept;

}  // namespace polyattn::engines
