// DIMACS: what is read, what is refused and where, and that simplifying changes no truth value.

#include "lab/cnf.hpp"

#include "lab/formulas.hpp"
#include "support/expect_error.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <set>

namespace polyattn::lab {
namespace {

using test::fails_with;

Cnf read(const std::string& text, std::int64_t most = 1000) { return read_dimacs(text, "f.cnf", most); }

testing::AssertionResult refused(const std::string& text, const std::string& line, const std::string& what) {
  return fails_with(ErrorCode::invalid_argument, {"f.cnf, line " + line + ": ", what}, [&] { read(text); });
}

Assignment bits(int variables, unsigned value) {
  Assignment model;
  for (int v = 0; v < variables; ++v) model.push_back((value >> v & 1U) != 0);
  return model;
}

TEST(Dimacs, ClausesMaySpanLinesAndShareThem) {
  const Cnf formula = read("c a comment\np  cnf 3 4\n1 -2\n 3 0 -1 0\n\nc between\r\n0\n2\t3 0\n");
  EXPECT_EQ(formula.variables, 3);
  EXPECT_EQ(formula.clauses, (std::vector<Clause>{{1, -2, 3}, {-1}, {}, {2, 3}}));
}

TEST(Dimacs, NothingAfterAPercentSignCounts) {
  EXPECT_EQ(read("p cnf 2 1\n1 2 0\n%\n0\nwhatever").clauses, (std::vector<Clause>{{1, 2}}));
}

TEST(Dimacs, NoVariablesAndNoClauses) {
  EXPECT_TRUE(read("p cnf 0 0").clauses.empty());
  EXPECT_EQ(read("p cnf 0 1\n0").clauses, std::vector<Clause>{{}});
}

TEST(Dimacs, WhatIsWrittenIsReadBack) {
  const Cnf formula = random_ksat(9, 31, 3, 5);
  const std::string text = write_dimacs(formula, "two lines\nof comment");
  EXPECT_TRUE(text.starts_with("c two lines\nc of comment\np cnf 9 31\n"));
  EXPECT_EQ(read(text).clauses, formula.clauses);
}

TEST(Dimacs, RefusesWithTheLine) {
  EXPECT_TRUE(refused("", "1", "expected the header"));
  EXPECT_TRUE(refused("c only\nc comments\n", "2", "expected the header"));
  EXPECT_TRUE(refused("c x\n1 2 0\n", "2", "before '1'"));
  EXPECT_TRUE(refused("p cnf 3\n", "1", "expected the header"));
  EXPECT_TRUE(refused("p sat 3 4\n", "1", "expected the header"));
  EXPECT_TRUE(refused("p cnf x 4\n", "1", "variables from 0 to 1000, got 'x'"));
  EXPECT_TRUE(refused("p cnf 1001 4\n", "1", "variables from 0 to 1000, got '1001'"));
  EXPECT_TRUE(refused("p cnf -1 4\n", "1", "got '-1'"));
  EXPECT_TRUE(refused("p cnf 1 -4\n", "1", "got '-4'"));
  EXPECT_TRUE(refused("p cnf 1 1\n1 0\np cnf 1 1\n", "3", "second header"));
  EXPECT_TRUE(refused("p cnf 2 1\n\n1 3 0\n", "3", "variables 1 to 2, got '3'"));
  EXPECT_TRUE(refused("p cnf 2 1\n1 -3 0\n", "2", "got '-3'"));
  EXPECT_TRUE(refused("p cnf 2 1\n1 two 0\n", "2", "got 'two'"));
  EXPECT_TRUE(refused("p cnf 2 1\n1 2.0 0\n", "2", "got '2.0'"));
  EXPECT_TRUE(refused("p cnf 2 1\n1 99999999999999999999 0\n", "2", "got '99999999999999999999'"));
  EXPECT_TRUE(refused(std::string("p cnf 2 1\n1 \0 0\n", 15), "2", "got '?'"));
  EXPECT_TRUE(refused("p cnf 2 1\n1 0\n2 0\n", "3", "after 1 clauses"));
  EXPECT_TRUE(refused("p cnf 2 3\n1 0\n2 0\n", "3", "expected 3 clauses, as the header says, got 2"));
  EXPECT_TRUE(refused("p cnf 2 2\n1 0\n2\n", "3", "expected 0 at the end"));
}

TEST(Formula, SimplifyingChangesNoTruthValue) {
  const Cnf formula{3, {{1, 1, -2}, {-2, 1}, {3, -3}, {2, 3, 2}, {-1, 2, 1}}};
  const Cnf simple = simplified(formula);
  EXPECT_EQ(simple.clauses, (std::vector<Clause>{{1, -2}, {2, 3}}));
  for (unsigned x = 0; x < 8; ++x) EXPECT_EQ(satisfies(formula, bits(3, x)), satisfies(simple, bits(3, x)));
  EXPECT_FALSE(satisfies(simplified({1, {{}}}), bits(1, 0)));
}

/// Whether any assignment satisfies it.
bool satisfiable(const Cnf& formula) {
  for (unsigned x = 0; x < 1U << formula.variables; ++x) {
    if (satisfies(formula, bits(formula.variables, x))) return true;
  }
  return false;
}

TEST(Formula, FamiliesAreSatisfiableWhenTheyShould) {
  for (int pigeons = 1; pigeons <= 4; ++pigeons) {
    for (int holes = 1; holes <= 3; ++holes) EXPECT_EQ(satisfiable(pigeonhole(pigeons, holes)), pigeons <= holes);
  }
  for (int n = 1; n <= 4; ++n) {
    for (unsigned odd = 0; odd < 4; ++odd) {
      const Cnf formula = parity(n, (odd & 1U) != 0, (odd & 2U) != 0);
      EXPECT_EQ(formula.variables, 3 * n - 2);
      EXPECT_EQ(satisfiable(formula), odd == 0 || odd == 3) << n;
    }
  }
  for (int forbidden = 0; forbidden <= 3; ++forbidden) EXPECT_EQ(satisfiable(permutation(3, forbidden)), forbidden < 3);
}

TEST(Formula, RandomClausesHaveDifferentVariablesAndTheirSeed) {
  const Cnf formula = random_ksat(7, 200, 3, 11);
  ASSERT_EQ(formula.clauses.size(), 200U);
  std::set<int> literals;
  for (const Clause& clause : formula.clauses) {
    std::set<int> variables;
    for (const int literal : clause) {
      variables.insert(std::abs(literal));
      literals.insert(literal);
    }
    EXPECT_EQ(variables.size(), 3U);
    EXPECT_TRUE(*variables.begin() >= 1 && *variables.rbegin() <= 7);
  }
  EXPECT_EQ(literals.size(), 14U) << "every literal occurs among 600";
  EXPECT_EQ(random_ksat(7, 200, 3, 11).clauses, formula.clauses);
  EXPECT_NE(random_ksat(7, 200, 3, 12).clauses, formula.clauses);
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"clause length", "got 8"}, [] { random_ksat(7, 1, 8, 0); }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"clauses", "got -1"}, [] { random_ksat(7, -1, 3, 0); }));
}

}  // namespace
}  // namespace polyattn::lab
