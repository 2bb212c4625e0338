#pragma once

/// Where smooth and density answer, and how their results are laid out in files.
///
/// .npy: [m] or [m, columns], on a grid of A x B x … points [A, B, …] or [A, B, …, columns], axis l being column l of
/// the points; then OUT-axis0.npy, OUT-axis1.npy, … hold the coordinates along each. .csv: a line for each query, its
/// coordinates first.

#include "results.hpp"
#include "smoothing/query_grid.hpp"
#include "smoothing/tables.hpp"

#include <optional>
#include <string>
#include <vector>

namespace polyattn::cli {

struct Places {
  std::optional<QueryGrid> grid;
  ConstView view;                  ///< [1, 1, m, d]
  std::vector<std::string> names;  ///< of the coordinates
  bool points = false;             ///< they are the points themselves

  [[nodiscard]] std::int64_t rows() const noexcept { return view.shape[2]; }
};

/// The grid, or the queries, or the points, which must outlive what is returned.
Places make_places(const Tables& tables, const std::optional<GridRequest>& grid, const std::vector<double>& bandwidth);

/// One array of results: [1, 1, m, columns].
struct Array {
  const Tensor* tensor = nullptr;
  std::vector<std::string> names;  ///< of its columns, in a .csv file
  bool flat = false;               ///< with one column, which a .npy file does not show
};

/// `path` as .npy.
void add_array(Outputs& outputs, const std::string& path, const Places& places, const Array& array);
/// The coordinates along each axis of the grid, beside `path`; nothing without a grid.
void add_axes(Outputs& outputs, const std::string& path, const Places& places);
/// `path` as .csv, the arrays side by side.
void add_table(Outputs& outputs, const std::string& path, const Places& places, const std::vector<Array>& arrays);

}  // namespace polyattn::cli
