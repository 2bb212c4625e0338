// Cells and passes against brute force over coordinates: which cells a pass makes, out of which, with tables of the
// whole box and, where that is large, with merged lists.

#include "engines/grid/cells.hpp"

#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

namespace polyattn::engines::grid {
namespace {

using polyattn::test::Random;
using Place = std::vector<std::int64_t>;  // per axis

struct Setup {
  Geometry geometry;
  std::set<Place> keys;
  std::set<Place> queries;
};

std::int64_t number_of(const Geometry& geometry, const Place& place) {
  std::int64_t number = 0;
  for (std::size_t l = 0; l < place.size(); ++l) {
    number += place[l] * geometry.axes[l].stride;
  }
  return number;
}

CellList numbers_of(const Geometry& geometry, const std::set<Place>& places) {
  CellList out;
  for (const Place& place : places) {
    out.push_back(number_of(geometry, place));
  }
  std::sort(out.begin(), out.end());
  return out;
}

Setup draw(std::uint64_t seed, std::int64_t most_cells) {
  Random random(seed);
  Setup out;
  const std::int64_t axes = random.integer(2, 4);
  out.geometry.dim = axes;
  for (std::int64_t l = 0; l < axes; ++l) {
    Axis axis;
    axis.cells = random.integer(1, most_cells);
    axis.far_band = static_cast<int>(random.integer(0, std::min<std::int64_t>(3, axis.cells - 1)));
    axis.band = static_cast<int>(random.integer(0, axis.far_band));
    out.geometry.axes.push_back(axis);
  }
  EXPECT_TRUE(set_strides(out.geometry));
  const auto fill = [&](std::set<Place>& places) {
    Place centre;
    for (const Axis& axis : out.geometry.axes) {
      centre.push_back(random.integer(0, axis.cells - 1));
    }
    const std::int64_t count = random.integer(1, 12);
    for (std::int64_t i = 0; i < count; ++i) {
      Place place;
      for (std::size_t l = 0; l < centre.size(); ++l) {
        const std::int64_t last = out.geometry.axes[l].cells - 1;
        const std::int64_t any = random.chance(0.2)
                                     ? (random.chance(0.5) ? 0 : last)
                                     : std::clamp<std::int64_t>(centre[l] + random.integer(-3, 3), 0, last);
        place.push_back(any);
      }
      places.insert(place);
    }
  };
  fill(out.keys);
  fill(out.queries);
  if (random.chance(0.5)) {
    out.queries.insert(out.keys.begin(), out.keys.end());
  }
  return out;
}

/// Cells (query's place on axes up to l, key's beyond) for pairs that are within the far band on these axes and whose
/// others may still come together.
std::set<Place> reached(const Setup& setup, std::size_t l) {
  std::set<Place> out;
  for (const Place& key : setup.keys) {
    for (const Place& query : setup.queries) {
      bool near = true;
      for (std::size_t m = 0; m < key.size(); ++m) {
        near = near && std::abs(key[m] - query[m]) <= setup.geometry.axes[m].far_band;
      }
      if (near) {
        Place place = key;
        std::copy_n(query.begin(), l + 1, place.begin());
        out.insert(place);
      }
    }
  }
  return out;
}

void expect_passes(const Setup& setup) {
  const CellList keys = numbers_of(setup.geometry, setup.keys);
  const std::vector<PassCells> passes = find_passes(setup.geometry, keys, numbers_of(setup.geometry, setup.queries));
  ASSERT_EQ(passes.size(), setup.geometry.axes.size());
  const CellList* before = &keys;
  for (std::size_t l = 0; l < passes.size(); ++l) {
    const Axis& axis = setup.geometry.axes[l];
    const PassCells& pass = passes[l];
    ASSERT_TRUE(std::is_sorted(pass.targets.begin(), pass.targets.end()));
    ASSERT_EQ(std::adjacent_find(pass.targets.begin(), pass.targets.end()), pass.targets.end());
    // Everything a pair needs is there; no cell is outside of the box.
    for (const Place& place : reached(setup, l)) {
      EXPECT_TRUE(std::binary_search(pass.targets.begin(), pass.targets.end(), number_of(setup.geometry, place)));
    }
    ASSERT_EQ(pass.sources.size(), pass.targets.size() * static_cast<std::size_t>(2 * axis.far_band + 1));
    for (std::size_t t = 0; t < pass.targets.size(); ++t) {
      const std::int64_t on_axis = pass.targets[t] / axis.stride % Geometry::padded_cells(axis);
      EXPECT_LT(on_axis, axis.cells);
      for (std::int64_t o = -axis.far_band; o <= axis.far_band; ++o) {
        const std::int64_t from = on_axis - o;
        const std::int64_t cell = pass.targets[t] - o * axis.stride;
        const auto found = std::lower_bound(before->begin(), before->end(), cell);
        const bool there = from >= 0 && from < axis.cells && found != before->end() && *found == cell;
        EXPECT_EQ(pass.sources[t * static_cast<std::size_t>(2 * axis.far_band + 1) +
                               static_cast<std::size_t>(o + axis.far_band)],
                  there ? found - before->begin() : -1);
      }
    }
    before = &pass.targets;
  }
  // What arrives is what some key reaches.
  EXPECT_EQ(passes.back().targets, numbers_of(setup.geometry, reached(setup, passes.size() - 1)));
}

TEST(GridCells, PassesBringEveryPairTogether) {
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    expect_passes(draw(seed, 6));
  }
}

TEST(GridCells, SoTheyDoWithoutATableOfTheBox) {
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    expect_passes(draw(seed, 4000));
  }
}

TEST(GridCells, TooManyAreRefused) {
  Geometry geometry;
  geometry.axes.resize(3);
  for (Axis& axis : geometry.axes) {
    axis.cells = std::int64_t{1} << 16;
  }
  EXPECT_TRUE(set_strides(geometry));
  geometry.axes[1].cells = std::int64_t{1} << 19;
  EXPECT_FALSE(set_strides(geometry));
}

}  // namespace
}  // namespace polyattn::engines::grid
