#pragma once

// How the numbers of axis_table.inl lie, for the table and for the program that prints it.
//
// For each side of axis_lattice(), p = kFewestNodes .. kMostNodes and offset = 0 .. axis_band: the bins of 1, 2 and 4
// sub-bins. Interchanging query and key and reflecting the axis gives eta(o, i, j) = eta(o, s-1-j, s-1-i), so pairs
// with i + j < s are kept: 1 + 3 + 10 numbers. A number k means 2^(-k/64), eta rounded up.

#include <array>
#include <cstddef>

namespace polyattn::numerics {

inline constexpr std::array<double, 10> kAxisLattice = {0.125, 0.25, 0.5, 0.7, 0.8, 1.0, 1.2, 1.4, 1.7, 2.0};
inline constexpr double kAxisReach = 6.5;
inline constexpr int kAxisSteps = 64;  ///< to a factor of 2
inline constexpr int kAxisEntries = 1 + 3 + 10;

constexpr int band_of_side(double rho) noexcept { return rho < 0.5 ? 2 : 1 + static_cast<int>(kAxisReach / rho); }

/// Where the kAxisEntries of (rho_index, p, offset) start; `nodes` counts from kFewestNodes, of `kinds` of them.
constexpr std::size_t axis_start(int rho_index, int nodes, int kinds, int offset) noexcept {
  int rows = offset;
  for (int r = 0; r <= rho_index && r < static_cast<int>(kAxisLattice.size()); ++r) {
    rows += (band_of_side(kAxisLattice[static_cast<std::size_t>(r)]) + 1) * (r < rho_index ? kinds : nodes);
  }
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(kAxisEntries);
}

/// The place of bins (i, j) of s = 1, 2 or 4 among the kAxisEntries.
constexpr int axis_entry(int s, int i, int j) noexcept {
  if (i + j >= s) {
    const int mirrored = s - 1 - j;
    j = s - 1 - i;
    i = mirrored;
  }
  const int before = s == 1 ? 0 : s == 2 ? 1 : 4;
  return before + i * s - i * (i - 1) / 2 + j;
}

}  // namespace polyattn::numerics
