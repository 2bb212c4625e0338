#pragma once

/// The certificate of rows in two layers: from that of the strong coordinates alone to that of all. Equations are those
/// of docs/proofs/layers.md.

#include "engines/polynomial/layers.hpp"
#include "engines/polynomial/row_block.hpp"

#include <array>
#include <cstddef>
#include <vector>

namespace polyattn::engines {

/// (e^r - 1 - r) / r^2, rounded up: |e^t - 1 - t| <= this times t^2 for |t| <= r, r >= 0. Infinite beyond 700.
double second_order(double r) noexcept;

/// A row's polynomial p_1 and what may be lost with it: sum w |e| over both terms of the weak coordinates, and the same
/// for Cauchy-Schwarz, sqrt(W sum w e^2).
struct FirstOrder {
  const TableEntry* polynomial = nullptr;
  double error = 0.0;
  double uniform = 0.0;
};

/// What the choice of p_1 looks at: the row's strong moments sum w s_1^2q for 2q = 0 ... degree, each with all it may
/// be off, and its bound tau >= sum w t^2, weight >= W, radius >= |s_1|, reach >= |t|.
struct LayerMoments {
  std::array<double, 33> even{};
  std::size_t count = 0;  ///< of them
  double weight = 0.0;
  double tau = 0.0;
  double radius = 0.0;
  double reach = 0.0;
};

/// The entry with the least error. Entries are of one radius, at least `moments.radius`.
FirstOrder choose_first_order(const std::vector<TableEntry>& entries, const LayerMoments& moments) noexcept;

/// Rows that begin_certificates has certified for the strong coordinates, `strong`, become those of all coordinates:
/// numerators of the first layer go to the joined slot of their sums, everything else is added. `weak` has radii and
/// sums of the weak list for the same rows, `sums` those of the first list, [degree + 1][columns][block].
template <class T>
void join_layers(const PreparedLayers<T>& layers, const RowBlock<T>& weak, const double* sums, RowBlock<T>& strong);

}  // namespace polyattn::engines
