#include "engines/exact/near_order.hpp"

#include "base/checked.hpp"

#include <algorithm>
#include <array>
#include <limits>

namespace polyattn::engines {
namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Parts that threads take by themselves: fixed, though no order depends on it.
constexpr std::int64_t kParts = 64;

/// A point on its way to its place: the tree moves whole points, which is far quicker than looking them up.
template <std::size_t Dim>
struct Point {
  std::array<double, Dim> x;
  std::int64_t row;
};

struct Part {
  std::int64_t first;
  std::int64_t last;
};

/// The longest side of the box of some points.
template <std::size_t Dim>
std::size_t longest_side(const Point<Dim>* points, const Part& part, const NearRates& rates) noexcept {
  std::array<double, Dim> low;   // NOLINT(cppcoreguidelines-pro-type-member-init)
  std::array<double, Dim> high;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  low.fill(kInfinity);
  high.fill(-kInfinity);
  for (std::int64_t i = part.first; i < part.last; ++i) {
    for (std::size_t l = 0; l < Dim; ++l) {
      low[l] = std::min(low[l], points[i].x[l]);
      high[l] = std::max(high[l], points[i].x[l]);
    }
  }
  std::size_t best = 0;
  double longest = -1.0;
  for (std::size_t l = 0; l < Dim; ++l) {
    const double side = high[l] - low[l];
    const double length = rates[l] * side * side;
    best = length > longest ? l : best;
    longest = std::max(length, longest);
  }
  return best;
}

/// Cuts a part in two; where.
template <std::size_t Dim>
std::int64_t halve(Point<Dim>* points, const Part& part, std::int64_t leaf, const NearRates& rates) {
  const std::size_t axis = longest_side<Dim>(points, part, rates);
  const std::int64_t leaves = base::blocks_of(part.last - part.first, leaf);
  const std::int64_t middle = part.first + leaves / 2 * leaf;
  std::nth_element(points + part.first, points + middle, points + part.last,
                   [axis](const Point<Dim>& a, const Point<Dim>& b) {
                     return a.x[axis] != b.x[axis] ? a.x[axis] < b.x[axis] : a.row < b.row;
                   });
  return middle;
}

template <std::size_t Dim>
void sort_part(Point<Dim>* points, const Part& part, std::int64_t leaf, const NearRates& rates) {
  if (part.last - part.first <= leaf) {
    std::sort(points + part.first, points + part.last,
              [](const Point<Dim>& a, const Point<Dim>& b) { return a.row < b.row; });
    return;
  }
  const std::int64_t middle = halve<Dim>(points, part, leaf, rates);
  sort_part<Dim>(points, {part.first, middle}, leaf, rates);
  sort_part<Dim>(points, {middle, part.last}, leaf, rates);
}

template <std::size_t Dim>
void order(const base::Rows& rows_of, const NearRates& rates, std::int64_t leaf, std::vector<std::int64_t>& rows,
           const base::Context& context) {
  const auto count = static_cast<std::int64_t>(rows.size());
  base::Buffer<Point<Dim>> points(count, context.memory);
  base::parallel_for(context, base::blocks_of(count, 4096), [&](std::int64_t block, int) {
    for (std::int64_t i = block * 4096; i < std::min(count, block * 4096 + 4096); ++i) {
      Point<Dim>& point = points[usize(i)];
      point.row = rows[usize(i)];
      point.x.fill(0.0);
      base::load_rows(rows_of, point.row, 1, point.x.data(), static_cast<std::int64_t>(Dim));
    }
  });
  std::vector<Part> parts{{0, count}};
  for (std::int64_t at = 0; at < static_cast<std::int64_t>(parts.size()); ++at) {
    const Part part = parts[usize(at)];
    if (part.last - part.first > std::max(leaf, count / kParts)) {
      const std::int64_t middle = halve<Dim>(points.data(), part, leaf, rates);
      parts.push_back({part.first, middle});
      parts.push_back({middle, part.last});
      parts[usize(at)] = {0, 0};
    }
  }
  base::parallel_for(context, static_cast<std::int64_t>(parts.size()), [&](std::int64_t at, int) {
    if (parts[usize(at)].first < parts[usize(at)].last) {
      sort_part<Dim>(points.data(), parts[usize(at)], leaf, rates);
    }
  });
  for (std::int64_t i = 0; i < count; ++i) {
    rows[usize(i)] = points[usize(i)].row;
  }
}

}  // namespace

void order_near(const base::Rows& points, const NearRates& rates, std::int64_t leaf, std::vector<std::int64_t>& rows,
                const base::Context& context) {
  // One row at a time is loaded with a leading dimension of its columns, so the array has to hold them all.
  switch (points.columns) {
    case 1:
      return order<1>(points, rates, leaf, rows, context);
    case 2:
      return order<2>(points, rates, leaf, rows, context);
    case 3:
      return order<3>(points, rates, leaf, rows, context);
    case 4:
      return order<4>(points, rates, leaf, rows, context);
    default:
      break;
  }
  NearRates padded = rates;
  padded.resize(kMostNearDim, 0.0);
  order<kMostNearDim>(points, padded, leaf, rows, context);
}

NearBoxes boxes_of(const base::Rows& points, const std::vector<std::int64_t>& rows, std::int64_t leaf,
                   const base::Context& context) {
  const auto count = static_cast<std::int64_t>(rows.size());
  const std::int64_t dim = points.columns;
  NearBoxes boxes;
  boxes.count = base::blocks_of(count, leaf);
  boxes.low.assign(usize(boxes.count * dim), kInfinity);
  boxes.high.assign(usize(boxes.count * dim), -kInfinity);
  base::parallel_for(context, boxes.count, [&](std::int64_t box, int) {
    std::array<double, kMostNearDim> x{};
    for (std::int64_t i = box * leaf; i < std::min(count, (box + 1) * leaf); ++i) {
      base::load_rows(points, rows[usize(i)], 1, x.data(), dim);
      for (std::int64_t l = 0; l < dim; ++l) {
        double& low = boxes.low[usize(l * boxes.count + box)];
        double& high = boxes.high[usize(l * boxes.count + box)];
        low = std::min(low, x[usize(l)]);
        high = std::max(high, x[usize(l)]);
      }
    }
  });
  return boxes;
}

}  // namespace polyattn::engines
