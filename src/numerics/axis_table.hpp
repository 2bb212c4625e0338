#pragma once

// axis_error for the few cell sides the grid engine uses, looked up. See axis_table.cpp.

#include <span>
#include <vector>

namespace polyattn::numerics {

/// Nodes a cell for which there is a table.
inline constexpr int kFewestNodes = 3;
inline constexpr int kMostNodes = 16;

/// The sides of cells in units of h (exp(-(u - t)^2 / h^2)) for which there is a table, in increasing order.
std::span<const double> axis_lattice() noexcept;

/// The farthest offset in the table: cells farther apart have a gap above 6.5 h (kernel below 4.5e-19). For sides below
/// 0.5 it is 2: they are for axes of small extent, which need three cells at most.
int axis_band(int rho_index) noexcept;

/// Bounds between sub-bins of cells at offsets -band .. band (query cell minus key cell), as arrays
/// [(offset + band)][query_bin][key_bin]: of |kappa~ - kappa| (eta, at most 1.1 % above axis_error) and of kappa
/// (peak). Farther apart, where the engine takes 0 for kappa, peak is the error: see axis_peak.
struct AxisBounds {
  int sub_bins = 1;
  int band = 0;
  std::vector<double> eta, peak;
};

/// For kFewestNodes <= p <= kMostNodes, rho_index into axis_lattice(), sub_bins 1, 2 or 4 and 0 <= band <=
/// axis_band(rho_index); Error (invalid_argument) otherwise. Cost: microseconds.
AxisBounds axis_bounds(int p, int rho_index, int sub_bins, int band);

}  // namespace polyattn::numerics
