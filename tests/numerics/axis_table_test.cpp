#include "numerics/axis_table.hpp"

#include "numerics/axis_error.hpp"
#include "numerics/axis_table_layout.hpp"
#include "support/expect_error.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <set>

namespace polyattn::test {
namespace {

using numerics::axis_bounds;
using numerics::AxisBounds;

std::size_t at(const AxisBounds& bounds, int offset, int i, int j) {
  const int place = ((offset + bounds.band) * bounds.sub_bins + i) * bounds.sub_bins + j;
  return static_cast<std::size_t>(place);
}

TEST(AxisTable, HoldsWhatAxisErrorProves) {
  Random random(1);
  for (int trial = 0; trial < 150; ++trial) {
    const int p = static_cast<int>(random.integer(numerics::kFewestNodes, numerics::kMostNodes));
    const int index =
        static_cast<int>(random.integer(0, static_cast<std::int64_t>(numerics::axis_lattice().size()) - 1));
    const int s = 1 << random.integer(0, 2);
    const AxisBounds bounds = axis_bounds(p, index, s, numerics::axis_band(index));
    const int offset = static_cast<int>(random.integer(0, bounds.band));
    const int i = static_cast<int>(random.integer(0, s - 1));
    const int j = static_cast<int>(random.integer(0, s - 1 - i));
    const double proved =
        numerics::axis_error(p, numerics::axis_lattice()[static_cast<std::size_t>(index)], offset, s, i, j);
    const double stored = bounds.eta[at(bounds, offset, i, j)];
    // Another exp may show where rounding does: axis_error has 1e-3 of room for it, and so has this.
    EXPECT_GE(stored, proved * (1.0 - 1e-3));
    EXPECT_LE(stored, proved * (std::exp2(1.0 / numerics::kAxisSteps) + 1e-3));
  }
}

TEST(AxisTable, IsSymmetricAndSaysWhatPeakSays) {
  for (int index = 0; index < static_cast<int>(numerics::axis_lattice().size()); ++index) {
    for (const int s : {1, 2, 4}) {
      const int band = std::min(3, numerics::axis_band(index));
      const AxisBounds bounds = axis_bounds(7, index, s, band);
      ASSERT_EQ(bounds.eta.size(), static_cast<std::size_t>((2 * band + 1) * s * s));
      ASSERT_EQ(bounds.peak.size(), bounds.eta.size());
      for (int o = -band; o <= band; ++o) {
        for (int i = 0; i < s; ++i) {
          for (int j = 0; j < s; ++j) {
            const double eta = bounds.eta[at(bounds, o, i, j)];
            EXPECT_EQ(eta, bounds.eta[at(bounds, -o, j, i)]);
            EXPECT_EQ(eta, bounds.eta[at(bounds, -o, s - 1 - i, s - 1 - j)]);
            EXPECT_EQ(bounds.peak[at(bounds, o, i, j)],
                      numerics::axis_peak(numerics::axis_lattice()[static_cast<std::size_t>(index)], o, s, i, j));
            EXPECT_GT(eta, 0.0);
          }
        }
      }
    }
  }
}

TEST(AxisTable, HasANarrowBandInTheMiddleOfAWideOne) {
  const AxisBounds wide = axis_bounds(8, 5, 2, numerics::axis_band(5)), narrow = axis_bounds(8, 5, 2, 2);
  for (int o = -2; o <= 2; ++o) {
    for (int i = 0; i < 2; ++i) {
      for (int j = 0; j < 2; ++j) EXPECT_EQ(wide.eta[at(wide, o, i, j)], narrow.eta[at(narrow, o, i, j)]);
    }
  }
  EXPECT_EQ(axis_bounds(8, 5, 2, 0).eta.size(), 4U);
}

TEST(AxisTable, ReachesWhereTheKernelIsNegligible) {
  for (int index = 0; index < static_cast<int>(numerics::axis_lattice().size()); ++index) {
    const double rho = numerics::axis_lattice()[static_cast<std::size_t>(index)];
    const int band = numerics::axis_band(index);
    if (rho < 0.5) {
      EXPECT_EQ(band, 2);
    } else {
      EXPECT_LT(numerics::axis_peak(rho, band + 1, 1, 0, 0), 4.6e-19);
      EXPECT_GT(numerics::axis_peak(rho, band, 1, 0, 0), 4.4e-19);
    }
  }
}

TEST(AxisTable, RefusesWhatIsNotInIt) {
  const auto refused = [](int p, int index, int s, int band, const char* name) {
    EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {name}, [=] { (void)axis_bounds(p, index, s, band); }));
  };
  refused(2, 0, 1, 0, "p");
  refused(17, 0, 1, 0, "p");
  refused(8, -1, 1, 0, "rho_index");
  refused(8, 10, 1, 0, "rho_index");
  refused(8, 5, 3, 0, "sub_bins");
  refused(8, 5, 1, -1, "band");
  refused(8, 5, 1, numerics::axis_band(5) + 1, "band");
}

TEST(AxisTable, KeepsEveryPairOfBinsOnceUpToReflection) {
  std::set<int> seen;
  for (const int s : {1, 2, 4}) {
    for (int i = 0; i < s; ++i) {
      for (int j = 0; j < s; ++j) {
        const int entry = numerics::axis_entry(s, i, j);
        EXPECT_EQ(entry, numerics::axis_entry(s, s - 1 - j, s - 1 - i));
        if (i + j < s) {
          EXPECT_TRUE(seen.insert(entry).second);
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(numerics::kAxisEntries));
  EXPECT_EQ(*seen.rbegin(), numerics::kAxisEntries - 1);
}

}  // namespace
}  // namespace polyattn::test
