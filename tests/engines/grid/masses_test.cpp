// Masses of the parts of cells against sums in long double: what they are, and that what is made of them is above.

#include "engines/grid/masses.hpp"

#include "support/grid_case.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace polyattn::engines::grid {
namespace {

using base::usize;
using polyattn::test::draw_grid_case;
using polyattn::test::geometry_of;
using polyattn::test::GridCase;
using polyattn::test::GridFamily;

using Part = std::vector<std::int64_t>;

/// Which part of its cell a record is in, by the definition: parts of equal length, the first begins at -1.
Part part_of(const double* record, const std::vector<std::int64_t>& bins) {
  Part part;
  for (std::size_t l = 0; l < bins.size(); ++l) {
    const double place = std::floor((record[l] + 1.0) / 2.0 * static_cast<double>(bins[l]));
    part.push_back(std::min(static_cast<std::int64_t>(place), bins[l] - 1));
  }
  return part;
}

/// Place of a part's first channel in a tensor: the first axis by rows, channels side by side.
std::int64_t place_of(const Field& field, const Part& part) {
  std::int64_t rest = 0;
  for (std::size_t l = 1; l < part.size(); ++l) {
    rest = rest * field.nodes[l] + part[l];
  }
  return part.front() * field.width() + rest * field.nodes.back();
}

struct Sums {
  long double weight = 0.0L;
  std::vector<long double> signed_values;
  std::vector<long double> low, centre, high;  // sum w |v - knot|
};

void expect_masses(GridFamily family, std::uint64_t seed) {
  const GridCase grid = draw_grid_case(family, seed);
  const auto geometry = geometry_of(grid);
  if (!geometry) {
    return;
  }
  const HeadProblem problem = grid.problem();
  const base::Context context;
  const auto columns = usize(grid.value_dim);
  ColumnKnots knots;
  knots.low.assign(columns, std::numeric_limits<double>::infinity());
  knots.high.assign(columns, -std::numeric_limits<double>::infinity());
  for (std::size_t e = 0; e < grid.v.size(); ++e) {
    const double bias = grid.bias.empty() ? 0.0 : grid.bias[e / columns];
    if (bias > -std::numeric_limits<double>::infinity()) {
      knots.low[e % columns] = std::min(knots.low[e % columns], grid.v[e]);
      knots.high[e % columns] = std::max(knots.high[e % columns], grid.v[e]);
    }
  }
  for (std::size_t c = 0; c < columns; ++c) {
    knots.centre.push_back(0.5 * knots.low[c] + 0.5 * knots.high[c]);
  }
  const CellPoints keys = sort_keys(problem, *geometry, knots.centre, context);
  const Field masses = make_masses(keys, *geometry, grid.value_dim, context);
  const Field charged = charged_masses(masses, keys, knots, nullptr);
  const Field whole = cell_masses(masses, keys, grid.value_dim, nullptr);
  const std::vector<std::int64_t> bins = bins_of(*geometry);
  ASSERT_EQ(masses.nodes.back(), 1 + 2 * grid.value_dim);
  ASSERT_EQ(charged.nodes.back(), 1 + 3 * grid.value_dim);
  for (std::int64_t cell = 0; cell < keys.cells(); ++cell) {
    std::map<Part, Sums> parts;
    const std::int64_t points = keys.starts[usize(cell) + 1] - keys.starts[usize(cell)];
    Sums all;
    all.centre.assign(columns, 0.0L);
    for (std::int64_t i = keys.starts[usize(cell)]; i < keys.starts[usize(cell) + 1]; ++i) {
      Sums& part = parts[part_of(keys.record(i) + keys.first_axis, bins)];
      for (auto* sums : {&part.signed_values, &part.low, &part.centre, &part.high}) {
        sums->resize(columns, 0.0L);
      }
      const auto weight = static_cast<long double>(keys.channel(i, 0));
      part.weight += weight;
      all.weight += weight;
      for (std::size_t c = 0; c < columns; ++c) {
        const auto moved =
            static_cast<long double>(keys.channel(i, 1 + static_cast<std::int64_t>(c)));  // w (v - centre)
        const auto below = static_cast<long double>(knots.centre[c]) - static_cast<long double>(knots.low[c]);
        const auto above = static_cast<long double>(knots.high[c]) - static_cast<long double>(knots.centre[c]);
        part.signed_values[c] += moved;
        part.low[c] += std::fabs(moved + weight * below);
        part.centre[c] += std::fabs(moved);
        part.high[c] += std::fabs(weight * above - moved);
        all.centre[c] += std::fabs(moved);
      }
    }
    long double in_tensor = 0.0L;
    for (std::int64_t lead = 0; lead < masses.nodes.front(); ++lead) {
      for (std::int64_t at = 0; at < masses.width(); at += masses.nodes.back()) {
        in_tensor += static_cast<long double>(masses.tensor(cell)[lead * masses.width() + at]);
      }
    }
    const auto lost = static_cast<long double>(points + 16) * 0x1p-52L;
    EXPECT_LE(std::fabs(in_tensor - all.weight), lost * all.weight);  // nothing beside the parts
    for (const auto& [part, sums] : parts) {
      const double* from = masses.tensor(cell) + place_of(masses, part);
      const double* bound = charged.tensor(cell) + place_of(charged, part);
      EXPECT_LE(std::fabs(static_cast<long double>(from[0]) - sums.weight), lost * sums.weight);
      EXPECT_GE(static_cast<long double>(bound[0]), sums.weight);
      for (std::size_t c = 0; c < columns; ++c) {
        const auto k = static_cast<std::int64_t>(c);
        EXPECT_LE(std::fabs(static_cast<long double>(from[1 + k]) - sums.signed_values[c]), lost * sums.centre[c]);
        EXPECT_LE(std::fabs(static_cast<long double>(from[1 + grid.value_dim + k]) - sums.centre[c]),
                  lost * sums.centre[c]);
        const double* knot = bound + 1 + 3 * k;
        // Centred values are rounded: what they are off by is no part of the masses (the answer is about the same
        // centred values), so the sums of them are what is bounded, up to the rounding of this sum.
        const long double slack = 1.0L - 0x1p-60L * static_cast<long double>(points + 4);
        EXPECT_GE(static_cast<long double>(knot[0]), sums.low[c] * slack) << "low";
        EXPECT_GE(static_cast<long double>(knot[1]), sums.centre[c] * slack) << "centre";
        EXPECT_GE(static_cast<long double>(knot[2]), sums.high[c] * slack) << "high";
        // And not by much: twice the rounding at most.
        EXPECT_LE(static_cast<long double>(knot[1]), sums.centre[c] * (1.0L + 4.0L * lost));
      }
    }
    EXPECT_GE(static_cast<long double>(whole.tensor(cell)[0]), all.weight);
    EXPECT_LE(static_cast<long double>(whole.tensor(cell)[0]), all.weight * (1.0L + 4.0L * lost));
    for (std::size_t c = 0; c < columns; ++c) {
      EXPECT_GE(static_cast<long double>(whole.tensor(cell)[1 + static_cast<std::int64_t>(c)]),
                all.centre[c] * (1.0L - 0x1p-60L * static_cast<long double>(points)));
    }
  }
}

TEST(GridMasses, AreTheSumsOfTheirPartsAndBoundsAreAbove) {
  for (const GridFamily family : {GridFamily::broad, GridFamily::thin, GridFamily::borders, GridFamily::few,
                                  GridFamily::self, GridFamily::weights, GridFamily::scores}) {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
      SCOPED_TRACE(std::string(polyattn::test::name_of(family)) + " seed " + std::to_string(seed));
      expect_masses(family, seed);
      if (HasFailure()) {
        return;
      }
    }
  }
}

}  // namespace
}  // namespace polyattn::engines::grid
