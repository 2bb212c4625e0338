// Formulas decided by attention, against brute force and CaDiCaL.

#include "lab/sat.hpp"

#include "lab/brute_force.hpp"
#include "lab/formulas.hpp"
#include "support/cadical.hpp"
#include "support/expect_error.hpp"

#include <gtest/gtest.h>
#include <cmath>

namespace polyattn::lab {
namespace {

Oracle oracle() {
  Options options;
  options.engine = Engine::exact;
  options.threads = 2;
  return attention_oracle(options);
}

/// Decides, checks the model, and returns whether there is one.
bool decide(const Cnf& formula) {
  const SatAnswer answer = solve_sat(formula, oracle());
  EXPECT_TRUE(!answer.model || satisfies(formula, *answer.model));
  return answer.model.has_value();
}

TEST(Sat, SmallestFormulas) {
  EXPECT_TRUE(decide({0, {}}));
  EXPECT_FALSE(decide({0, {{}}}));
  EXPECT_TRUE(decide({1, {{1}}}));
  EXPECT_TRUE(decide({1, {{-1}}}));
  EXPECT_FALSE(decide({1, {{1}, {-1}}}));
  EXPECT_TRUE(decide({2, {{1, -1}}}));
  EXPECT_TRUE(decide({5, {{-3, 5}}}));
  EXPECT_FALSE(decide({3, {{1, 2, 3}, {}}}));
}

TEST(Sat, AgreesWithBruteForce) {
  int satisfiable = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const int variables = 3 + static_cast<int>(seed % 8);
    const int length = 1 + static_cast<int>(seed % 3);
    const auto clauses = std::llround(variables * (length == 1 ? 0.6 : length == 2 ? 1.4 : 4.8));
    const Cnf formula = random_ksat(variables, clauses, length, seed);
    const bool truth = test::brute_force(formula);
    satisfiable += truth ? 1 : 0;
    EXPECT_EQ(decide(formula), truth) << write_dimacs(formula);
  }
  EXPECT_GT(satisfiable, 15);
  EXPECT_LT(satisfiable, 45);
}

TEST(Sat, AgreesWithCadicalNearTheThreshold) {
  int satisfiable = 0;
  for (std::uint64_t seed = 100; seed < 140; ++seed) {
    const int variables = 12 + static_cast<int>(seed % 7);
    const Cnf formula = random_ksat(variables, std::llround(4.26 * variables), 3, seed);
    const bool truth = polyattn::test::cadical_says_satisfiable(write_dimacs(formula));
    satisfiable += truth ? 1 : 0;
    EXPECT_EQ(decide(formula), truth) << write_dimacs(formula);
  }
  EXPECT_GT(satisfiable, 5);
  EXPECT_LT(satisfiable, 38);
}

TEST(Sat, StructuredFormulas) {
  EXPECT_FALSE(decide(pigeonhole(4, 3)));
  EXPECT_TRUE(decide(pigeonhole(3, 4)));
  EXPECT_FALSE(decide(parity(5, true, false)));
  EXPECT_TRUE(decide(parity(5, true, true)));
  EXPECT_TRUE(decide(permutation(4, 3)));
  EXPECT_FALSE(decide(permutation(4, 4)));
}

TEST(Sat, TheOnlyModelIsFound) {
  // All clauses over three variables at a time that one assignment satisfies: nothing else is left.
  const Assignment only{true, false, false, true, true, false, true, false, false, true, true, true};
  Cnf formula{12, {}};
  for (int v = 1; v + 2 <= 12; ++v) {
    for (unsigned signs = 0; signs < 8; ++signs) {
      const Clause clause{(signs & 1U) != 0 ? v : -v, (signs & 2U) != 0 ? v + 1 : -v - 1,
                          (signs & 4U) != 0 ? v + 2 : -v - 2};
      if (satisfies({12, {clause}}, only)) formula.clauses.push_back(clause);
    }
  }
  const SatAnswer answer = solve_sat(formula, oracle());
  ASSERT_TRUE(answer.model.has_value());
  EXPECT_EQ(*answer.model, only);
  EXPECT_EQ(answer.search.calls, 1 + 4 + 4);
}

TEST(Sat, RowsStopAtTheFirstYes) {
  const Cnf easy = random_ksat(30, 30, 3, 3);
  const SatAnswer answer = solve_sat(easy, oracle());
  EXPECT_TRUE(answer.model.has_value());
  EXPECT_LT(answer.search.rows_answered, answer.search.rows);
}

TEST(Sat, AnOracleThatLiesIsCaught) {
  const Oracle liar = [](std::span<const float> queries, const TripleKeys& keys, const Decision&, const Progress&) {
    return Answers{std::vector<double>(queries.size() / static_cast<std::size_t>(keys.dim), 1.0), 0.0, 0.0};
  };
  EXPECT_THROW(solve_sat({1, {{1}, {-1}}}, liar), std::logic_error);
}

TEST(Sat, StopsWhenTold) {
  EXPECT_TRUE(polyattn::test::fails_with(
      ErrorCode::cancelled, {}, [] { solve_sat(random_ksat(24, 102, 3, 2), oracle(), [](double) { return false; }); }));
}

TEST(Sat, ProgressNeverGoesBack) {
  double last = 0.0;
  const Progress watch = [&last](double done) {
    EXPECT_GE(done, 0.0);
    EXPECT_LE(done, 1.0 + 1e-12);
    last = std::max(last, done);
    return true;
  };
  solve_sat(random_ksat(21, 89, 3, 2), oracle(), watch);
  EXPECT_GT(last, 0.5);
}

}  // namespace
}  // namespace polyattn::lab
