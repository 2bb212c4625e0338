// Scott's rule of thumb for a bandwidth.

#include "api/smoothing_inputs.hpp"
#include "base/checked.hpp"
#include "base/error.hpp"
#include "base/float_environment.hpp"
#include "base/rows.hpp"
#include "numerics/double_double.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace polyattn {

namespace {

using base::fail;
using base::usize;

/// Calls body(column, number) for all entries, row by row.
template <class Body>
void for_each_entry(const ConstView& points, const Body& body) {
  const std::int64_t columns = points.shape[3];
  const std::int64_t block = std::max<std::int64_t>(1, 8192 / columns);
  const base::Rows rows = base::head_rows(points, 0, 0);
  std::vector<double> some(usize(block * columns));
  for (std::int64_t first = 0; first < points.shape[2]; first += block) {
    const std::int64_t count = std::min(block, points.shape[2] - first);
    base::load_rows(rows, first, count, some.data(), columns);
    for (std::int64_t i = 0; i < count * columns; ++i) {
      body(usize(i % columns), some[usize(i)]);
    }
  }
}

/// A column as numbers in [-1, 1], so that no square overflows or vanishes.
struct Scale {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  numerics::Pair sum;      ///< of scaled numbers
  numerics::Pair squares;  ///< of their distances from the mean

  [[nodiscard]] double radius() const noexcept { return 0.5 * high - 0.5 * low; }
  [[nodiscard]] double scaled(double x) const noexcept { return (x - (0.5 * low + 0.5 * high)) / radius(); }
};

std::vector<Scale> deviations(const ConstView& points) {
  std::vector<Scale> scales(usize(points.shape[3]));
  for_each_entry(points, [&](std::size_t column, double x) {
    scales[column].low = std::min(scales[column].low, x);
    scales[column].high = std::max(scales[column].high, x);
  });
  for (std::size_t column = 0; column < scales.size(); ++column) {
    if (!(scales[column].radius() > 0.0)) {
      fail(ErrorCode::invalid_argument, "points", "columns that vary",
           "column " + std::to_string(column) + ", constant at " + base::text(scales[column].low));
    }
  }
  for_each_entry(points, [&](std::size_t column, double x) {
    Scale& scale = scales[column];
    scale.sum = numerics::add(scale.sum, {scale.scaled(x), 0.0});
  });
  const auto n = static_cast<double>(points.shape[2]);
  for_each_entry(points, [&](std::size_t column, double x) {
    Scale& scale = scales[column];
    const double distance = scale.scaled(x) - scale.sum.hi / n;
    scale.squares = numerics::add_same_sign(scale.squares, {distance * distance, 0.0});
  });
  return scales;
}

}  // namespace

std::vector<double> scott_bandwidth(const ConstView& points) {
  const base::FloatEnvironment environment;
  api::check_matrix("points", points, "d");
  api::require_two_points(points, "for Scott's rule");
  api::require_finite("points", points);
  const auto n = static_cast<double>(points.shape[2]);
  const double shrink = std::pow(n, -1.0 / static_cast<double>(points.shape[3] + 4));
  std::vector<double> bandwidth;
  for (const Scale& scale : deviations(points)) {
    bandwidth.push_back(scale.radius() * std::sqrt(scale.squares.hi / (n - 1.0)) * shrink);
  }
  return bandwidth;
}

}  // namespace polyattn
