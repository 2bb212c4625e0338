// The grid engine's certificate against heads in geometries of the test's own (tests/support/grid_case.hpp), random and
// climbing towards the bound.

#include "support/grid_census.hpp"

#include "support/census.hpp"
#include "support/sanitized.hpp"

#include <gtest/gtest.h>

#include <iostream>
#include <sstream>

namespace polyattn::test {
namespace {

void expect_no_failure(const GridCensus& census) {
  for (std::size_t i = 0; i < census.failures.size() && i < 20; ++i) {
    ADD_FAILURE() << census.failures[i];
  }
  EXPECT_TRUE(census.failures.empty()) << census.failures.size() << " failures";
  EXPECT_LE(census.worst(), 1.0);
  EXPECT_LE(census.worst_lse(), 1.0);
}

TEST(CertifiedGrids, HoldsInEveryGeometry) {
  GridCensus all = survey_grids(1, 400 / kShare);
  const GridCensus climbed = search_grids(1, 16 / kShare, 30);
  std::cout << "closest calls:\n" << closest_grids(climbed, 2);
  all.add(climbed);
  std::cout << summary(all);
  expect_no_failure(all);
  EXPECT_GE(all.heads(), 5000 / kShare);
  for (const FamilyCensus& family : all.families) {
    EXPECT_GE(10 * family.answered, family.rows) << "a family that is refused tests nothing";
  }
}

TEST(CertifiedGrids, HoldsOnTheClosestCallsOnRecord) {
  const GridCensus census = replay_grids(POLYATTN_TEST_DATA "/../certificate/grids.txt");
  expect_no_failure(census);
  EXPECT_GT(census.heads(), 0);
  std::cout << "on record: " << summary(census);
}

TEST(GridGenomes, AreReadAsTheyAreWritten) {
  const GridGenome genome{GridFamily::borders, 17, {3, 8, 19}};
  std::ostringstream text;
  text << genome;
  EXPECT_EQ(text.str(), "borders 17 3 8 19");
  const GridGenome again = parse_grid_genome(text.str() + "  # 0.93").value();
  EXPECT_EQ(again.family, genome.family);
  EXPECT_EQ(again.seed, genome.seed);
  EXPECT_EQ(again.changes, genome.changes);
  EXPECT_FALSE(parse_grid_genome("# a comment").has_value());
  EXPECT_THROW(parse_grid_genome("loose 17"), std::runtime_error);
  EXPECT_THROW(parse_grid_genome("borders 17 x"), std::runtime_error);
}

}  // namespace
}  // namespace polyattn::test
