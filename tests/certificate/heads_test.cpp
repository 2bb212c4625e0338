// The polynomial engine's certificate against heads aimed at one weak spot each (tests/support/hard_heads.hpp), random
// and climbing towards the bound.

#include "support/head_census.hpp"

#include "support/census.hpp"
#include "support/sanitized.hpp"

#include <gtest/gtest.h>

#include <iostream>
#include <sstream>

namespace polyattn::test {
namespace {

void expect_no_failure(const HeadCensus& census) {
  for (std::size_t i = 0; i < census.failures.size() && i < 20; ++i) {
    ADD_FAILURE() << census.failures[i];
  }
  EXPECT_TRUE(census.failures.empty()) << census.failures.size() << " failures";
  EXPECT_LE(census.worst(), 1.0);
  EXPECT_LE(census.worst_lse(), 1.0);
}

TEST(CertifiedHeads, HoldsWhereItsPartsAreWeakest) {
  HeadCensus all = survey_heads(1, 2000 / kShare);
  const HeadCensus climbed = search_heads(1, 48 / kShare, 30);
  std::cout << "closest calls:\n" << closest_heads(climbed, 2);
  all.add(climbed);
  std::cout << summary(all);
  expect_no_failure(all);
  EXPECT_GE(all.heads(), 30000 / kShare);
  for (const FamilyCensus& family : all.families) {
    EXPECT_GE(2 * family.answered, family.rows) << "a family that is refused tests nothing";
  }
  for (const auto* counts :
       {&all.prefixes[0], &all.prefixes[1], &all.prefixes[2], &all.prefixes[3], &all.prefixes[4]}) {
    EXPECT_GE(*counts, 40 / kShare);
  }
}

TEST(CertifiedHeads, HoldsOnTheClosestCallsOnRecord) {
  const HeadCensus census = replay_heads(POLYATTN_TEST_DATA "/../certificate/heads.txt");
  expect_no_failure(census);
  EXPECT_GT(census.heads(), 0);
  std::cout << "on record: " << summary(census);
}

TEST(HeadGenomes, AreReadAsTheyAreWritten) {
  const HeadGenome genome{HeadFamily::ladder, 17, {3, 8, 19}};
  std::ostringstream text;
  text << genome;
  EXPECT_EQ(text.str(), "ladder 17 3 8 19");
  const HeadGenome again = parse_head_genome(text.str() + "  # 0.93").value();
  EXPECT_EQ(again.family, genome.family);
  EXPECT_EQ(again.seed, genome.seed);
  EXPECT_EQ(again.changes, genome.changes);
  EXPECT_FALSE(parse_head_genome("# a comment").has_value());
  EXPECT_THROW(parse_head_genome("loose 17"), std::runtime_error);
  EXPECT_THROW(parse_head_genome("split 17 x"), std::runtime_error);
}

}  // namespace
}  // namespace polyattn::test
