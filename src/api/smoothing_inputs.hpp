#pragma once

/// What the smoothing functions are given, checked once.

#include "polyattn/smoothing.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace polyattn::api {

struct SmoothingInputs {
  ConstView points;   ///< [1, 1, n, d]
  ConstView values;   ///< [1, 1, n, columns]; no columns where there are no values
  ConstView queries;  ///< [1, 1, m, d]
  std::optional<ConstView> log_weights;
  std::vector<double> bandwidth;  ///< one for each axis; empty where it is not known yet
  std::int64_t visible = 0;       ///< points whose weight is not 0

  [[nodiscard]] std::int64_t n() const noexcept { return points.shape[2]; }
  [[nodiscard]] std::int64_t d() const noexcept { return points.shape[3]; }
  [[nodiscard]] std::int64_t m() const noexcept { return queries.shape[2]; }
  [[nodiscard]] std::int64_t columns() const noexcept { return values.shape[3]; }
};

/// A matrix of no columns, one row for each point.
ConstView no_values(const ConstView& points) noexcept;

/// Checks shapes, and that what is read is finite. `values` may be null: then there are none. Throws Error
/// (invalid_argument, non_finite) naming points, values, queries or log_weights. Cost: one pass over each.
SmoothingInputs check_inputs(const ConstView& points, const ConstView* values, const ConstView& queries,
                             const std::optional<ConstView>& log_weights);
/// One bandwidth for each axis. Throws Error (invalid_argument) for a number of them that does not fit, and for numbers
/// that are not positive or whose squares leave the range of float64.
std::vector<double> check_bandwidth(const std::vector<double>& bandwidth, std::int64_t d);
/// Throws Error (invalid_argument) unless the view is a matrix [1, 1, rows, columns] of at least one column.
void check_matrix(const char* name, const ConstView& view, const char* columns);
/// Throws Error (non_finite) naming the first NaN or infinity in a row that is not hidden.
void require_finite(const char* name, const ConstView& view, const std::vector<bool>* hidden = nullptr);
/// Throws Error (invalid_argument) unless there are two points or more.
void require_two_points(const ConstView& points, const char* what);

}  // namespace polyattn::api
