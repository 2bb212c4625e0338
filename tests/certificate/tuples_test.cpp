// The certificate of orders 2 to 5 is never wrong: thousands of small problems, random and climbed towards their bound.

#include "support/sanitized.hpp"
#include "support/tuple_census.hpp"

#include <gtest/gtest.h>

#include <iostream>

namespace polyattn::test {
namespace {

TEST(TupleCertificate, HoldsOverRandomAndAdversarialProblems) {
  TupleCensus all = survey_tuples(1, 3000 / kShare);
  all.add(search_tuples(1, 60 / kShare, 25));
  for (std::size_t i = 0; i < all.failures.size() && i < 20; ++i) {
    ADD_FAILURE() << all.failures[i];
  }
  std::cout << summary(all) << '\n';
  EXPECT_TRUE(all.failures.empty()) << all.failures.size() << " failures";
  EXPECT_LE(all.worst, 1.0);
  EXPECT_LE(all.worst_lse, 1.0);
  EXPECT_GE(all.problems, 3500 / kShare);
  EXPECT_GE(3 * all.polynomial, all.problems);
  EXPECT_GE(4 * all.masked, all.polynomial);
  for (std::size_t order = 2; order <= 5; ++order) {
    EXPECT_GE(10 * all.by_order[order], all.problems) << "order " << order;
  }
}

}  // namespace
}  // namespace polyattn::test
