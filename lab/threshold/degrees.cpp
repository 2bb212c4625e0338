#include "lab/threshold/degrees.hpp"

#include "lab/exponential/chebyshev_degree.hpp"
#include "lab/threshold/theory.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::lab {

std::vector<DegreeRow> degree_table() {
  std::vector<DegreeRow> rows;
  for (const int digits : {1, 2, 3, 6, 12, 30, 60}) {
    const double tolerance = std::pow(10.0, -digits);
    for (int power = 0; power <= 8; ++power) {
      const double length = std::ldexp(1.0, power);
      rows.push_back({length, tolerance, least_degree(length / 2.0, std::log(tolerance), true),
                      optimal_degree(length, tolerance)});
    }
  }
  return rows;
}

RatioRange ratio_range(const std::vector<DegreeRow>& rows) {
  const auto [low, high] = std::ranges::minmax(rows, {}, &DegreeRow::ratio);
  return {low.ratio(), high.ratio()};
}

}  // namespace polyattn::lab
