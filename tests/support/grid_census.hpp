#pragma once

/// Grid cases through the engine, each row judged.

#include "support/grid_case.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace polyattn::test {

struct GridFind {
  double clearance = -1.0;  ///< measured / certified of the answers or their log-sum-exp; -1 where no row was answered
  GridGenome genome;
  int rounding = 0;  ///< per cent of the bound
};

/// Of the cases of one family.
struct GridFamilyCensus {
  std::int64_t heads = 0;  ///< with at least one row answered
  std::int64_t rows = 0;
  std::int64_t answered = 0;
  double worst = 0.0;
  double worst_lse = 0.0;
  std::vector<double> looseness;  ///< certified / measured of answered rows; infinite where the error is 0
};

struct GridCensus {
  std::array<GridFamilyCensus, kGridFamilies> families;
  std::vector<GridFind> finds;  ///< closest first, by family
  std::vector<std::string> failures;

  void add(const GridCensus& other);
  [[nodiscard]] std::int64_t heads() const;
  [[nodiscard]] double worst() const;
  [[nodiscard]] double worst_lse() const;
};

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
