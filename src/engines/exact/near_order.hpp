#pragma once

/// An order of points in which those near each other are next to each other: the leaves of a k-d tree, and their boxes.

#include "base/parallel.hpp"
#include "base/rows.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// Coordinates that are looked at.
inline constexpr std::int64_t kMostNearDim = 8;

/// Where points are cut in two, and measured: in units of the kernel's width on each axis.
using NearRates = std::vector<double>;

/// Points in an order: row `rows[i]` is at place i, its coordinates at x[i * dim].
struct NearOrder {
  std::int64_t dim = 0;
  std::vector<std::int64_t> rows;
  base::Buffer<double> x;
  [[nodiscard]] std::int64_t count() const noexcept { return static_cast<std::int64_t>(rows.size()); }
  [[nodiscard]] const double* at(std::int64_t i) const noexcept { return x.data() + i * dim; }
};

/// Points `rows` of `points` so that every `leaf` of them from the first on are near each other: halves of a set, cut
/// across its longest side at a multiple of `leaf`, follow each other. `rates` [d], positive: what a squared difference
/// counts on each axis. Ties go by index, and so does the order within a leaf: the outcome depends on the points alone.
/// Points are finite, d <= kMostNearDim. Cost: O(n log(n / leaf)).
NearOrder order_near(const base::Rows& points, const NearRates& rates, std::int64_t leaf,
                     std::vector<std::int64_t> rows, const base::Context& context);

/// The same points for another `leaf`, which with the old one divides `stretch`: they are put in order within each
/// `stretch` of the old order alone, in a fraction of the time.
NearOrder order_again(const NearOrder& old, const NearRates& rates, std::int64_t stretch, std::int64_t leaf,
                      const base::Context& context);

/// Boxes of consecutive points, `leaf` to each: low and high of box b on axis l at [l * count + b].
struct NearBoxes {
  std::int64_t count = 0;
  std::vector<double> low;
  std::vector<double> high;
};
NearBoxes boxes_of(const NearOrder& order, std::int64_t leaf, const base::Context& context);

}  // namespace polyattn::engines
