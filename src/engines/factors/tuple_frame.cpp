#include "engines/factors/tuple_frame.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "engines/factors/extent.hpp"
#include "numerics/product_sum_bound.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace polyattn::engines {

namespace {

using base::usize;

/// Weights 2^e of more than that, and scales beyond 2^320, are refused, so that scale 2^e is exact.
constexpr int kMostExponent = 640;

const base::Rows& rows_of(const TupleProblem& problem, std::size_t side) {
  return side == 0 ? problem.queries : problem.sets[side - 1].keys;
}

void require_finite(const TupleProblem& problem, std::size_t side, std::int64_t row,
                    const std::vector<double>& values) {
  for (std::size_t l = 0; l < values.size(); ++l) {
    if (std::isfinite(values[l])) continue;
    const std::string name = side == 0 ? "q" : "keys[" + std::to_string(side - 1) + "]";
    base::fail(ErrorCode::non_finite, name, "finite numbers",
               std::string(std::isnan(values[l]) ? "NaN" : "infinity") + " at batch " + std::to_string(problem.batch) +
                   ", head " + std::to_string(problem.head) + ", row " + std::to_string(row) + ", column " +
                   std::to_string(l));
  }
}

/// The largest magnitude on each axis.
std::vector<double> largest_entries(const TupleProblem& problem, std::size_t side) {
  const base::Rows& rows = rows_of(problem, side);
  std::vector<double> row(usize(rows.columns));
  std::vector<double> largest(row.size(), 0.0);
  for (std::int64_t j = 0; j < rows.rows; ++j) {
    base::load_rows(rows, j, 1, row.data(), rows.columns);
    require_finite(problem, side, j, row);
    for (std::size_t l = 0; l < row.size(); ++l) largest[l] = std::max(largest[l], std::fabs(row[l]));
  }
  return largest;
}

[[noreturn]] void beyond_range(const TupleProblem& problem) {
  base::fail(ErrorCode::not_reachable, "factors: not reachable: at batch " + std::to_string(problem.batch) + ", head " +
                                           std::to_string(problem.head) +
                                           " the entries of Q and of the keys, or their products, leave the range "
                                           "that factors are proved for");
}

/// The chosen axes of a side, each times its weight.
base::Buffer<double> coordinates_of(const base::Rows& rows, const std::vector<std::size_t>& axes,
                                    const std::vector<double>& weights, const base::Context& context) {
  const auto active = static_cast<std::int64_t>(axes.size());
  base::Buffer<double> result(base::checked_mul(rows.rows, active, "memory"), context.memory);
  std::vector<double> row(usize(rows.columns));
  for (std::int64_t j = 0; j < rows.rows; ++j) {
    base::load_rows(rows, j, 1, row.data(), rows.columns);
    for (std::size_t a = 0; a < axes.size(); ++a) result[usize(j) * axes.size() + a] = row[axes[a]] * weights[a];
  }
  return result;
}

}  // namespace

std::vector<bool> axes_in_use(const TupleProblem& problem) {
  std::vector<bool> used(usize(problem.dim()), problem.scale != 0.0);
  for (std::size_t side = 0; side < problem.order(); ++side) {
    const std::vector<double> largest = largest_entries(problem, side);
    for (std::size_t l = 0; l < used.size(); ++l) used[l] = used[l] && largest[l] > 0.0;
  }
  return used;
}

FactorFrame make_tuple_factor_frame(const TupleProblem& problem, const std::vector<bool>& axes,
                                    const base::Context& context) {
  std::vector<std::size_t> active;
  for (std::size_t l = 0; l < axes.size(); ++l) {
    if (axes[l]) active.push_back(l);
  }
  FactorFrame frame;
  frame.active = static_cast<std::int64_t>(active.size());
  frame.sides.resize(problem.order());
  if (!moderate(std::fabs(problem.scale))) beyond_range(problem);
  // In each degree: 2 in y/R, 3 in t!/alpha!, 1 in a power of each side.
  frame.roundings = static_cast<std::int64_t>(problem.order()) + 5;
  std::vector<int> exponents(active.size(), 0);  // of the queries' weights
  std::vector<double> reach(active.size(), std::fabs(problem.scale));
  for (std::size_t side = problem.order(); side-- > 0;) {
    frame.sides[side].count = rows_of(problem, side).rows;
    const std::vector<double> largest = largest_entries(problem, side);
    std::vector<double> weights(active.size(), 1.0);
    for (std::size_t a = 0; a < active.size(); ++a) {
      const double entry = largest[active[a]];
      reach[a] *= entry;
      if (!moderate(entry) || !moderate(reach[a]) || std::abs(exponents[a]) > kMostExponent) beyond_range(problem);
      if (side == 0) {
        // An axis that only another head uses is 0 here: a side that is 0 says nothing about the others' size.
        weights[a] = reach[a] > 0.0 ? std::ldexp(problem.scale, exponents[a]) : 0.0;
      } else if (entry > 0.0) {
        const int exponent = std::ilogb(entry) + 1;
        weights[a] = std::ldexp(1.0, -exponent);
        exponents[a] += exponent;
      }
    }
    frame.sides[side].coordinates = coordinates_of(rows_of(problem, side), active, weights, context);
  }
  if (frame.empty()) return frame;
  std::vector<numerics::PointRows> points;
  for (const FactorSide& side : frame.sides) points.push_back({side.coordinates.data(), side.count, frame.active});
  frame.absolute = active.empty() ? 0.0 : numerics::inflate(numerics::product_sum_bound(points), 2);  // y is rounded
  frame.radius_before = frame.absolute;
  frame.low = -frame.absolute;
  frame.high = frame.absolute;
  return frame;
}

}  // namespace polyattn::engines
