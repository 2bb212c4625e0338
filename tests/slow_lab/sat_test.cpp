// Five hundred formulas of 12 to 24 variables, random ones below, at and above the threshold and structured ones:
// attention and CaDiCaL agree on each, and every model is one.

#include "lab/sat.hpp"

#include "lab/formulas.hpp"
#include "support/cadical.hpp"

#include <gtest/gtest.h>
#include <array>
#include <cmath>
#include <cstdio>

namespace polyattn::lab {
namespace {

class Agreement : public ::testing::Test {
 protected:
  void agree(const Cnf& formula) {
    ASSERT_GE(formula.variables, 12);
    ASSERT_LE(formula.variables, 24);
    Options options;
    options.engine = Engine::exact;
    const SatAnswer answer = solve_sat(formula, attention_oracle(options));
    const bool truth = test::cadical_says_satisfiable(write_dimacs(formula));
    EXPECT_EQ(answer.model.has_value(), truth) << write_dimacs(formula);
    EXPECT_TRUE(!answer.model || satisfies(formula, *answer.model)) << write_dimacs(formula);
    ++formulas_;
    satisfiable_ += truth ? 1 : 0;
  }

  int formulas_ = 0;
  int satisfiable_ = 0;
};

TEST_F(Agreement, OnFiveHundredFormulas) {
  for (std::uint64_t seed = 0; seed < 420; ++seed) {
    const int variables = 12 + static_cast<int>(seed % 13);
    constexpr std::array ratios{4.26, 3.5, 4.26, 4.6, 5.5};
    const double ratio = ratios[static_cast<std::size_t>(seed) % ratios.size()];
    agree(random_ksat(variables, std::llround(ratio * variables), 3, 1000 + seed));
  }
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const int variables = 12 + static_cast<int>(seed % 13);
    const int length = seed % 2 == 0 ? 2 : 4;
    agree(random_ksat(variables, std::llround(variables * (length == 2 ? 1.0 : 9.9)), length, 5000 + seed));
  }
  for (const auto& [pigeons, holes] : {std::pair{4, 3}, {3, 4}, {5, 4}, {4, 5}, {4, 4}, {6, 4}, {4, 6}, {7, 3}}) {
    agree(pigeonhole(pigeons, holes));
  }
  for (int n = 5; n <= 8; ++n) {
    for (unsigned odd = 0; odd < 4; ++odd) agree(parity(n, (odd & 1U) != 0, (odd & 2U) != 0));
  }
  for (int forbidden = 0; forbidden <= 4; ++forbidden) agree(permutation(4, forbidden));
  agree(pigeonhole(8, 3));
  std::printf("%d formulas, %d satisfiable\n", formulas_, satisfiable_);
  EXPECT_EQ(formulas_, 500);
  EXPECT_GT(satisfiable_, 150);
  EXPECT_LT(satisfiable_, 400);
}

}  // namespace
}  // namespace polyattn::lab
