#pragma once

/// One axis of a grid being sketched: the error of the kernel against the kernel itself, summed over keys that are
/// spread evenly.

#include "engines/grid/layout.hpp"

#include <cstdint>
#include <map>
#include <tuple>

namespace polyattn::planning {

/// Error of an axis summed over the keys, over the sum of the kernel: at the worst part of a query cell.
struct AxisSums {
  double error = 0.0;
  double tail = 0.0;  ///< the same from beyond the band alone
};

/// One axis with everything but its nodes.
struct AxisSketch {
  engines::grid::ScaledAxis scaled;
  double query_half = 0.0;  ///< dot score: extents of u and t about 0
  double key_half = 0.0;
  bool weighted = false;  ///< dot score: keys weigh exp(t^2)
  double heaviest = 0.0;  ///< by how much biases differ
  int sub_bins = 2;
  engines::grid::AxisChoice choice;

  [[nodiscard]] double side() const noexcept;
  [[nodiscard]] std::int64_t cells() const noexcept;
};

/// Sums for keys spread evenly along the axis, with weights exp(t^2) where they have them. Most axes are alike: what
/// was added up before is kept.
class KnownSums {
 public:
  AxisSums of(const AxisSketch& axis);

 private:
  using Key = std::tuple<int, int, int, std::int64_t, std::int64_t, double, double>;
  static Key key(const AxisSketch& axis);
  std::map<Key, AxisSums> known_;
};

}  // namespace polyattn::planning
