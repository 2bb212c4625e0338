#pragma once

// The error of interpolating exp(-(u - t)^2) between two cells of an axis, proved: the reference behind axis_table.hpp.
// See axis_error.cpp; proof in docs/proofs/grid-axis.md.

namespace polyattn::numerics {

/// An upper bound of |kappa~ - kappa| between one sub-bin of a query cell and one of a key cell, where
///
///     kappa(u, t) = exp(-(u - t)^2),   kappa~(u, t) = sum_{I,J} l_I(u) l_J(t) kappa(xi_I, xi_J),
///
/// cells have side rho (in units of the kernel's h) and p Chebyshev nodes, the query cell lies `offset` cells above the
/// key cell (below if negative), and each is cut into `sub_bins` equal parts, counted from below.
///
/// 1 <= p <= 32, 0 < rho <= 4, |offset| <= 2^16, sub_bins a power of two up to 16, bins in [0, sub_bins). Within 1.03
/// to 1.15 of the true maximum unless that is below 10^-16 or so of the cells' largest kappa. Cost: milliseconds.
double axis_error(int p, double rho, int offset, int sub_bins, int query_bin, int key_bin);

/// An upper bound of kappa between the two sub-bins: exp(-gap^2), rounded up; 1 where they touch.
double axis_peak(double rho, int offset, int sub_bins, int query_bin, int key_bin) noexcept;

}  // namespace polyattn::numerics
