#pragma once

/// Grid cases through the engine, each row judged.

#include "support/families.hpp"
#include "support/grid_case.hpp"

#include <cstdint>
#include <string>

namespace polyattn::test {

struct GridFind {
  double clearance = -1.0;  ///< measured / certified of the answers or their log-sum-exp; -1 where no row was answered
  GridGenome genome;
  int rounding = 0;  ///< per cent of the bound
};

using GridCensus = FamiliesCensus<kGridFamilies, GridFind>;

GridFind examine(const GridGenome& genome, GridCensus& census);
/// `count` cases of every family with seeds from `first`.
GridCensus survey_grids(std::uint64_t first, std::int64_t count);
/// `climbs` searches in every family, `steps` changes tried in each: one is kept if it brings measured / certified no
/// further from 1.
GridCensus search_grids(std::uint64_t first, std::int64_t climbs, int steps);
GridCensus replay_grids(const std::string& path);

/// A line `certificate grids N ...`, then one for each family.
std::string summary(const GridCensus& census);
/// The closest of each family, as the file of regressions holds them.
std::string closest_grids(const GridCensus& census, std::size_t of_each);

}  // namespace polyattn::test
