#include "engines/factors/extent.hpp"

#include "base/checked.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace polyattn::engines {

namespace {

using base::usize;

constexpr int kBallSteps = 32;
constexpr double kUnderflow = 0x1p-750;  // more than a square of moderate numbers loses by underflow, per axis

double square_about(const double* point, const std::vector<double>& metric,
                    const std::vector<double>& centre) noexcept {
  double square = 0.0;
  for (std::size_t l = 0; l < metric.size(); ++l) {
    const double away = point[l] - centre[l];
    square += std::fabs(metric[l]) * away * away;
  }
  return square;
}

std::vector<double> middle_of_ball(const PointSet& points, const std::vector<double>& metric,
                                   std::vector<double> centre) {
  for (int step = 0; step < kBallSteps; ++step) {
    const double* farthest = points.data;
    double largest = -1.0;
    for (std::int64_t i = 0; i < points.count; ++i) {
      const double* point = points.data + i * points.dim;
      const double square = square_about(point, metric, centre);
      if (square > largest) {
        largest = square;
        farthest = point;
      }
    }
    for (std::size_t l = 0; l < centre.size(); ++l) {
      centre[l] += (farthest[l] - centre[l]) / (step + 2.0);
    }
  }
  return centre;
}

}  // namespace

bool moderate(double magnitude) noexcept {
  return magnitude == 0.0 || (magnitude >= 0x1p-320 && magnitude <= 0x1p+320);
}

Extent extent_about(const PointSet& points, const std::vector<double>& metric, std::vector<double> centre) {
  Extent extent;
  extent.half.assign(usize(points.dim), 0.0);
  double largest = 0.0;
  for (std::int64_t i = 0; i < points.count; ++i) {
    const double* point = points.data + i * points.dim;
    for (std::size_t l = 0; l < centre.size(); ++l) {
      extent.half[l] = std::max(extent.half[l], std::fabs(point[l] - centre[l]));
    }
    largest = std::max(largest, square_about(point, metric, centre));
  }
  const double dim = static_cast<double>(points.dim);
  extent.norm = numerics::inflate(std::sqrt(largest + dim * kUnderflow), points.dim + 8);
  extent.centre = std::move(centre);
  return extent;
}

std::vector<Extent> candidate_extents(const PointSet& points, const std::vector<double>& metric) {
  const std::size_t dim = usize(points.dim);
  std::vector<double> mean(dim, 0.0);
  std::vector<double> low(dim, HUGE_VAL);
  std::vector<double> high(dim, -HUGE_VAL);
  std::vector<Extent> extents{extent_about(points, metric, std::vector<double>(dim, 0.0))};
  if (points.count == 0) {
    return extents;
  }
  for (std::int64_t i = 0; i < points.count; ++i) {
    for (std::size_t l = 0; l < dim; ++l) {
      const double value = points.data[usize(i) * dim + l];
      mean[l] += value / static_cast<double>(points.count);
      low[l] = std::min(low[l], value);
      high[l] = std::max(high[l], value);
    }
  }
  std::vector<double> middle(dim);
  for (std::size_t l = 0; l < dim; ++l) {
    middle[l] = 0.5 * low[l] + 0.5 * high[l];
    mean[l] = std::clamp(mean[l], low[l], high[l]);  // so that equal points have no extent
  }
  extents.push_back(extent_about(points, metric, std::move(mean)));
  extents.push_back(extent_about(points, metric, middle));
  extents.push_back(extent_about(points, metric, middle_of_ball(points, metric, std::move(middle))));
  return extents;
}

double radius_of(const Extent& one, const Extent& other, const std::vector<double>& metric) noexcept {
  double box = 0.0;
  for (std::size_t l = 0; l < metric.size(); ++l) {
    box += std::fabs(metric[l]) * one.half[l] * other.half[l];
  }
  // The halves are rounded differences, two of them a product.
  return std::min(numerics::inflate(box, static_cast<std::int64_t>(metric.size()) + 8),
                  numerics::inflate(one.norm * other.norm, 2));
}

}  // namespace polyattn::engines
