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
/// 1 <= p <= 32, 0 < rho <= 4, |offset| rho <= 20, sub_bins a power of two up to 16, bins in [0, sub_bins). Some 1.04
/// to 1.06 times the true maximum, unless that is below 10^-15 or so of the largest kappa between the cells, where the
/// rounding of long double shows. Cost: milliseconds.
double axis_error(int p, double rho, int offset, int sub_bins, int query_bin, int key_bin);

/// An upper bound of kappa between the two sub-bins: exp(-gap^2), rounded up; 1 where they touch.
double axis_peak(double rho, int offset, int sub_bins, int query_bin, int key_bin) noexcept;

/// An upper bound of |f - its interpolant in n Chebyshev nodes| on an interval of length `side`, for f(u) = exp(-(u -
/// t)^2) and any t at least `gap` away from the interval; n >= 1, side > 0, gap >= 0.
double gaussian_interpolation_error(int n, double side, double gap) noexcept;

}  // namespace polyattn::numerics
