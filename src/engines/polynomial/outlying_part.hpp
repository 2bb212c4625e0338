#pragma once

/// The exact part of rows whose outlying keys were set apart: these keys as the tile kernel reads them, bounds of the
/// kernel's rounding by the row's norm, and how the part joins the polynomial one.

#include "engines/polynomial/causal_diagonal.hpp"
#include "engines/polynomial/outlying_keys.hpp"
#include "engines/polynomial/row_block.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// Bounds for rows of |q - qc| up to top, top / 2, top / 4, …
struct OutlyingBounds {
  double top = 0.0;
  std::vector<DiagonalBound> by_halving;

  /// The sharpest that holds for a row of this norm; null beyond all.
  [[nodiscard]] const DiagonalBound* at(double norm) const noexcept;
};
/// In arithmetic T. `values` are those of all keys.
template <class T>
OutlyingBounds outlying_bounds(const OutlyingKeys& keys, const ValueRange& values);

/// Everything about the exact part that all rows share.
template <class T>
struct OutlyingPart {
  OutlyingPart(const Frame& frame, const ValueRange& values, const base::Context& context);
  const OutlyingKeys& source;
  DiagonalModel<T> model;
  DiagonalKeys<T> keys;
  OutlyingBounds bounds;
  double dropped = 0.0;  ///< mass that is below the smallest part kept, see dropped_mass
};

/// Exact sums of the rows of a block, joined to what begin_certificates found. Rows of which nothing is proved are
/// refused. `rows` has room for an exact part; its `box` holds for all keys from here on.
template <class T>
void add_outlying(const FeatureList& features, const OutlyingPart<T>& part, RowBlock<T>& rows,
                  DiagonalRows<T>& exact) noexcept;

/// Largest sum_l |z_l y_l x_jl| over all keys of a row, from that over keys with moments and the row's norm: what the
/// rounding of coordinates is relative to. Null: no key was set apart.
[[nodiscard]] double widest_score(const OutlyingKeys* keys, double box, double norm) noexcept;

}  // namespace polyattn::engines
