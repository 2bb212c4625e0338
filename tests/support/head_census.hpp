#pragma once

/// Hard heads through the polynomial engine, each row judged.

#include "support/families.hpp"
#include "support/hard_heads.hpp"

#include <array>
#include <cstdint>
#include <string>

namespace polyattn::test {

struct HeadFind {
  double clearance = -1.0;  ///< measured / certified of the answers; -1 where no row was answered
  HeadGenome genome;
  std::string note;
};

struct HeadCensus : FamiliesCensus<kHeadFamilies, HeadFind> {
  std::array<std::int64_t, 5> prefixes{};  ///< heads by degree of prefixes, 4 and more together
  std::array<std::int64_t, 17> degrees{};
  std::array<std::int64_t, 14> columns{};  ///< by value columns

  void add(const HeadCensus& other);
};

HeadFind examine(const HeadGenome& genome, HeadCensus& census);
/// `count` heads of every family with seeds from `first`.
HeadCensus survey_heads(std::uint64_t first, std::int64_t count);
/// `climbs` searches in every family, `steps` changes tried in each: one is kept if it brings measured / certified no
/// further from 1.
HeadCensus search_heads(std::uint64_t first, std::int64_t climbs, int steps);
HeadCensus replay_heads(const std::string& path);

/// A line `certificate heads N ...`, then one for each family.
std::string summary(const HeadCensus& census);
/// The closest of each family, as the file of regressions holds them.
std::string closest_heads(const HeadCensus& census, std::size_t of_each);

}  // namespace polyattn::test
