#include "numerics/axis_table.hpp"

#include "numerics/axis_error.hpp"
#include "numerics/axis_table_layout.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace polyattn::test {
namespace {

// Every number of the table against the proof that made it.
TEST(AxisTable, IsWhatAxisErrorSays) {
  double least = 10.0, most = 0.0;
  for (int index = 0; index < static_cast<int>(numerics::axis_lattice().size()); ++index) {
    const double rho = numerics::axis_lattice()[static_cast<std::size_t>(index)];
    const int band = numerics::axis_band(index);
    for (int p = numerics::kFewestNodes; p <= numerics::kMostNodes; ++p) {
      for (const int s : {1, 2, 4}) {
        const numerics::AxisBounds bounds = numerics::axis_bounds(p, index, s, band);
        for (int o = 0; o <= band; ++o) {
          for (int i = 0; i < s; ++i) {
            for (int j = 0; i + j < s; ++j) {
              const int place = ((o + band) * s + i) * s + j;
              const double stored = bounds.eta[static_cast<std::size_t>(place)];
              const double ratio = stored / numerics::axis_error(p, rho, o, s, i, j);
              ASSERT_TRUE(ratio >= 1.0 - 1e-3) << p << ' ' << rho << ' ' << o << ' ' << s << ' ' << i << ' ' << j;
              ASSERT_TRUE(ratio <= std::exp2(1.0 / numerics::kAxisSteps) + 1e-3) << p << ' ' << rho << ' ' << o;
              least = std::min(least, ratio);
              most = std::max(most, ratio);
            }
          }
        }
      }
    }
  }
  std::printf("table / proved: %.5f to %.5f\n", least, most);
}

}  // namespace
}  // namespace polyattn::test
