#include "engines/exact/key_statistics.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::engines {

double KeyStatistics::value_range() const noexcept {
  double range = 0.0;
  for (std::size_t c = 0; c < value_min.size() && visible > 0; ++c) {
    range = std::max(range, value_max[c] - value_min[c]);
  }
  return range;
}

double KeyStatistics::largest_value() const noexcept {
  double largest = 0.0;
  for (std::size_t c = 0; c < value_min.size() && visible > 0; ++c) {
    largest = std::max({largest, std::fabs(value_max[c]), std::fabs(value_min[c])});
  }
  return largest;
}

}  // namespace polyattn::engines
