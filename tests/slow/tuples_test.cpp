// The sweep of tests/certificate/tuples_test.cpp over more than 20,000 problems, with other seeds and longer climbs.

#include "support/tuple_census.hpp"

#include <gtest/gtest.h>

#include <iostream>

namespace polyattn::test {
namespace {

TEST(TupleCertificateSlow, HoldsOverManyMoreProblems) {
  TupleCensus all = survey_tuples(1000000, 20000);
  all.add(search_tuples(1000000, 200, 60));
  for (std::size_t i = 0; i < all.failures.size() && i < 20; ++i) {
    ADD_FAILURE() << all.failures[i];
  }
  std::cout << summary(all) << '\n';
  EXPECT_TRUE(all.failures.empty()) << all.failures.size() << " failures";
  EXPECT_LE(all.worst, 1.0);
  EXPECT_LE(all.worst_lse, 1.0);
  EXPECT_GE(all.problems, 20000);
  EXPECT_GE(3 * all.polynomial, all.problems);
}

}  // namespace
}  // namespace polyattn::test
