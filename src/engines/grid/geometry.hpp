#pragma once

/// Where the cells of a head are. Every axis is measured in units of the kernel's width h, so that the kernel is
/// exp(-(u - t)^2) on each, and cut into cells of `side` of them; queries and keys share the cells.

#include "engines/problem.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines::grid {

/// One axis of the grid. Position in cells: (q - query_origin) * query_scale, (k - key_origin) * key_scale.
struct Axis {
  double query_origin = 0.0;
  double query_scale = 1.0;
  double key_origin = 0.0;
  double key_scale = 1.0;
  std::int64_t cells = 1;
  std::int64_t stride = 1;      ///< of cell numbers
  double side = 1.0;            ///< of a cell, in units of h
  int lattice = 0;              ///< place of `side` in numerics::axis_lattice()
  int nodes = 1;                ///< of a cell; 1: an axis without extent, where all points coincide
  int band = 0;                 ///< cells farther apart do not act on each other
  int far_band = 0;             ///< nor are they told apart in the certificate
  double position_error = 0.0;  ///< bound on the rounding of u - t, in units of h
};

struct Geometry {
  std::vector<Axis> axes;      ///< at least two: the first may be one without extent
  std::int64_t dim = 0;        ///< of the points; axes beyond are without extent and come first
  int sub_bins = 1;            ///< of a cell along an axis, in the certificate
  bool weighted = false;       ///< keys have log weights
  std::vector<double> linear;  ///< log weight: bias + sum_l linear_l k_l + square_l (k_l - centre_l)^2, per point axis
  std::vector<double> square;
  std::vector<double> centre;
  /// What exp(-(u - t)^2) leaves out of a row: sum_l query_linear_l q_l + query_square_l (q_l - query_centre_l)^2 +
  /// query_constant, for log-sum-exp. Empty: nothing.
  std::vector<double> query_linear;
  std::vector<double> query_square;
  std::vector<double> query_centre;
  double query_constant = 0.0;
  double weight_error = 0.0;  ///< bound on the error of scores that does not act through positions: zeta

  [[nodiscard]] std::int64_t first_axis() const noexcept { return static_cast<std::int64_t>(axes.size()) - dim; }
  /// Cell numbers lie in [0, this).
  [[nodiscard]] std::int64_t box() const noexcept { return axes.front().stride * padded_cells(axes.front()); }
  /// Neighbours of cells never meet cells of another line: each line ends in cells that hold nothing.
  [[nodiscard]] static std::int64_t padded_cells(const Axis& axis) noexcept { return axis.cells + axis.far_band; }
};

/// Largest number of cells, empty ones included, that cell numbers are made for.
inline constexpr double kMostCells = 0x1p50;

/// Sets strides from cells and bands, the last axis fastest; false if there would be too many cells.
bool set_strides(Geometry& geometry) noexcept;

/// Nodes, rounded up to whole vectors, of all axes but `first`, in order; and numbers of a tensor of `channels`.
std::int64_t tensor_width(const std::vector<std::int64_t>& nodes, std::size_t first) noexcept;

}  // namespace polyattn::engines::grid
