#include "engines/exact/near_order.hpp"

#include "base/checked.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>

namespace polyattn::engines {
namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Parts that threads take by themselves: fixed, though no order depends on it.
constexpr std::int64_t kParts = 64;
/// Points loaded at a time.
constexpr std::int64_t kGathered = 1024;

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
NearOrder unpack(const base::Buffer<Point<Dim>>& points, std::int64_t dim, const base::Context& context) {
  NearOrder out;
  out.dim = dim;
  const auto count = static_cast<std::int64_t>(points.size());
  out.rows.resize(usize(count));
  out.x = base::Buffer<double>(base::checked_mul(count, dim, "points"), context.memory);
  for (std::int64_t i = 0; i < count; ++i) {
    out.rows[usize(i)] = points[usize(i)].row;
    std::copy_n(points[usize(i)].x.data(), dim, out.x.data() + i * dim);
  }
  return out;
}

template <std::size_t Dim>
base::Buffer<Point<Dim>> gather(const base::Rows& from, const std::vector<std::int64_t>& rows,
                                const base::Context& context) {
  const auto count = static_cast<std::int64_t>(rows.size());
  base::Buffer<Point<Dim>> points(count, context.memory);
  base::parallel_for(context, base::blocks_of(count, kGathered), [&](std::int64_t block, int) {
    const std::int64_t first = block * kGathered;
    const std::int64_t here = std::min(kGathered, count - first);
    std::vector<double> x(usize(kGathered * from.columns));
    if (rows[usize(first + here - 1)] - rows[usize(first)] == here - 1) {  // they ascend
      base::load_rows(from, rows[usize(first)], here, x.data(), from.columns);
    } else {
      for (std::int64_t i = 0; i < here; ++i) {
        base::load_rows(from, rows[usize(first + i)], 1, x.data() + i * from.columns, from.columns);
      }
    }
    for (std::int64_t i = 0; i < here; ++i) {
      Point<Dim>& point = points[usize(first + i)];
      point.row = rows[usize(first + i)];
      point.x.fill(0.0);
      std::copy_n(x.data() + i * from.columns, from.columns, point.x.data());
    }
  });
  return points;
}

template <std::size_t Dim>
NearOrder order(const base::Rows& from, const NearRates& rates, std::int64_t leaf,
                const std::vector<std::int64_t>& rows, const base::Context& context) {
  base::Buffer<Point<Dim>> points = gather<Dim>(from, rows, context);
  const auto count = static_cast<std::int64_t>(rows.size());
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
  return unpack<Dim>(points, from.columns, context);
}

template <std::size_t Dim>
NearOrder again(const NearOrder& old, const NearRates& rates, std::int64_t stretch, std::int64_t leaf,
                const base::Context& context) {
  const std::int64_t count = old.count();
  base::Buffer<Point<Dim>> points(count, context.memory);
  base::parallel_for(context, base::blocks_of(count, stretch), [&](std::int64_t part, int) {
    const Part here{part * stretch, std::min(count, (part + 1) * stretch)};
    for (std::int64_t i = here.first; i < here.last; ++i) {
      Point<Dim>& point = points[usize(i)];
      point.row = old.rows[usize(i)];
      point.x.fill(0.0);
      std::copy_n(old.at(i), old.dim, point.x.data());
    }
    sort_part<Dim>(points.data(), here, leaf, rates);
  });
  return unpack<Dim>(points, old.dim, context);
}

/// Calls body with the number of coordinates that points are moved with.
template <class Body>
NearOrder with_dim(std::int64_t dim, const Body& body) {
  switch (dim) {
    case 1:
      return body(std::integral_constant<std::size_t, 1>());
    case 2:
      return body(std::integral_constant<std::size_t, 2>());
    case 3:
      return body(std::integral_constant<std::size_t, 3>());
    case 4:
      return body(std::integral_constant<std::size_t, 4>());
    default:
      return body(std::integral_constant<std::size_t, kMostNearDim>());
  }
}

NearRates padded(const NearRates& rates) {
  NearRates out = rates;
  out.resize(usize(kMostNearDim), 0.0);
  return out;
}

}  // namespace

NearOrder order_near(const base::Rows& points, const NearRates& rates, std::int64_t leaf,
                     std::vector<std::int64_t> rows, const base::Context& context) {
  return with_dim(points.columns,
                  [&](auto dim) { return order<decltype(dim)::value>(points, padded(rates), leaf, rows, context); });
}

NearOrder order_again(const NearOrder& old, const NearRates& rates, std::int64_t stretch, std::int64_t leaf,
                      const base::Context& context) {
  return with_dim(old.dim,
                  [&](auto dim) { return again<decltype(dim)::value>(old, padded(rates), stretch, leaf, context); });
}

NearBoxes boxes_of(const NearOrder& order, std::int64_t leaf, const base::Context& context) {
  const std::int64_t count = order.count();
  NearBoxes boxes;
  boxes.count = base::blocks_of(count, leaf);
  boxes.low.assign(usize(boxes.count * order.dim), kInfinity);
  boxes.high.assign(usize(boxes.count * order.dim), -kInfinity);
  base::parallel_for(context, boxes.count, [&](std::int64_t box, int) {
    for (std::int64_t i = box * leaf; i < std::min(count, (box + 1) * leaf); ++i) {
      const double* x = order.at(i);
      for (std::int64_t l = 0; l < order.dim; ++l) {
        double& low = boxes.low[usize(l * boxes.count + box)];
        double& high = boxes.high[usize(l * boxes.count + box)];
        low = std::min(low, x[l]);
        high = std::max(high, x[l]);
      }
    }
  });
  return boxes;
}

}  // namespace polyattn::engines
