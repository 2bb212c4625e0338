// The sweeps of tests/certificate over more than 100,000 problems each, with other seeds and longer climbs.

#include "support/census.hpp"
#include "support/grid_census.hpp"
#include "support/head_census.hpp"

#include <gtest/gtest.h>

#include <iostream>

namespace polyattn::test {
namespace {

TEST(CertificateSlow, HoldsOverManyMoreProblems) {
  Census all = survey(1000000, 80000);
  all.add(search(1000000, 600, 100));
  for (std::size_t i = 0; i < all.failures.size() && i < 20; ++i) {
    ADD_FAILURE() << all.failures[i];
  }
  EXPECT_TRUE(all.failures.empty()) << all.failures.size() << " failures";
  std::cout << "closest calls:\n" << closest_calls(all, 30) << summary(all) << '\n';
  EXPECT_GE(all.problems, 100000);
  EXPECT_LE(all.worst, 1.0);
  EXPECT_LE(all.worst_lse, 1.0);
  EXPECT_LE(median(all.looseness), 1000.0);
}

TEST(CertificateSlow, HoldsOverManyMoreHeads) {
  HeadCensus all = survey_heads(1000000, 6000);
  all.add(search_heads(1000000, 100, 60));
  for (std::size_t i = 0; i < all.failures.size() && i < 20; ++i) {
    ADD_FAILURE() << all.failures[i];
  }
  EXPECT_TRUE(all.failures.empty()) << all.failures.size() << " failures";
  std::cout << "closest calls:\n" << closest_heads(all, 4) << summary(all);
  EXPECT_GE(all.heads(), 100000);
  EXPECT_LE(all.worst(), 1.0);
  EXPECT_LE(all.worst_lse(), 1.0);
}

TEST(CertificateSlow, HoldsOverManyMoreGrids) {
  GridCensus all = survey_grids(1000000, 4000);
  all.add(search_grids(1000000, 40, 80));
  for (std::size_t i = 0; i < all.failures.size() && i < 20; ++i) {
    ADD_FAILURE() << all.failures[i];
  }
  EXPECT_TRUE(all.failures.empty()) << all.failures.size() << " failures";
  std::cout << "closest calls:\n" << closest_grids(all, 4) << summary(all);
  EXPECT_GE(all.heads(), 50000);
  EXPECT_LE(all.worst(), 1.0);
  EXPECT_LE(all.worst_lse(), 1.0);
}

}  // namespace
}  // namespace polyattn::test
