#pragma once

// Intervals of numbers in ordinary arithmetic: whoever needs ends on the safe side accounts for their rounding.

#include <algorithm>
#include <iterator>

namespace polyattn::numerics {

struct Interval {
  double low = 0.0;
  double high = 0.0;
};

/// The hull of the products of a number of one interval and a number of the other, which has its ends at products of
/// ends: one rounding each, to nearest.
inline Interval interval_product(const Interval& a, const Interval& b) noexcept {
  const double corners[] = {a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high};
  return {*std::min_element(std::begin(corners), std::end(corners)),
          *std::max_element(std::begin(corners), std::end(corners))};
}

}  // namespace polyattn::numerics
