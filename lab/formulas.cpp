#include "lab/formulas.hpp"

#include "polyattn/error.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <random>
#include <string>

namespace polyattn::lab {

namespace {

/// Below `bound`, by rejection: std::uniform_int_distribution differs from library to library.
std::uint64_t below(std::mt19937_64& random, std::uint64_t bound) {
  const std::uint64_t excess = (std::uint64_t{0} - bound) % bound;
  while (true) {
    const std::uint64_t drawn = random();
    if (drawn >= excess) return drawn % bound;
  }
}

/// No two of `variables` are true.
void at_most_one(const std::vector<int>& variables, Cnf& formula) {
  for (std::size_t i = 0; i < variables.size(); ++i) {
    for (std::size_t j = i + 1; j < variables.size(); ++j) formula.clauses.push_back({-variables[i], -variables[j]});
  }
}

/// a + b + c = odd (mod 2)
void sum_of_three(int a, int b, int c, bool odd, Cnf& formula) {
  for (unsigned signs = 0; signs < 8; ++signs) {
    const bool negatives_odd = ((signs ^ signs >> 1U ^ signs >> 2U) & 1U) != 0;
    if (negatives_odd == odd) continue;  // this clause forbids the values that are 1 where it negates
    formula.clauses.push_back({(signs & 1U) != 0 ? -a : a, (signs & 2U) != 0 ? -b : b, (signs & 4U) != 0 ? -c : c});
  }
}

/// Partial sums of `terms` in new variables; the last one is `odd`.
void chain(const std::vector<int>& terms, bool odd, Cnf& formula) {
  int sum = terms.front();
  for (std::size_t i = 1; i < terms.size(); ++i) {
    const int next = ++formula.variables;
    sum_of_three(sum, terms[i], next, false, formula);
    sum = next;
  }
  formula.clauses.push_back({odd ? sum : -sum});
}

}  // namespace

Cnf random_ksat(int variables, std::int64_t clauses, int length, std::uint64_t seed) {
  if (length < 1 || length > variables) {
    throw Error(ErrorCode::invalid_argument, "clause length: expected 1 to the number of variables, " +
                                                 std::to_string(variables) + ", got " + std::to_string(length));
  }
  if (clauses < 0) {
    throw Error(ErrorCode::invalid_argument, "clauses: expected at least 0, got " + std::to_string(clauses));
  }
  std::mt19937_64 random(seed);
  Cnf formula{variables, {}};
  for (std::int64_t i = 0; i < clauses; ++i) {
    Clause chosen;
    while (static_cast<int>(chosen.size()) < length) {
      const int variable = static_cast<int>(below(random, static_cast<std::uint64_t>(variables))) + 1;
      if (std::ranges::find(chosen, variable) == chosen.end()) chosen.push_back(variable);
    }
    for (int& literal : chosen) literal = below(random, 2) == 0 ? literal : -literal;
    formula.clauses.push_back(std::move(chosen));
  }
  return formula;
}

Cnf pigeonhole(int pigeons, int holes) {
  Cnf formula{pigeons * holes, {}};
  const auto variable = [&](int pigeon, int hole) { return pigeon * holes + hole + 1; };
  for (int pigeon = 0; pigeon < pigeons; ++pigeon) {
    Clause somewhere;
    for (int hole = 0; hole < holes; ++hole) somewhere.push_back(variable(pigeon, hole));
    formula.clauses.push_back(std::move(somewhere));
  }
  for (int hole = 0; hole < holes; ++hole) {
    std::vector<int> here(static_cast<std::size_t>(pigeons));
    for (int pigeon = 0; pigeon < pigeons; ++pigeon) here[static_cast<std::size_t>(pigeon)] = variable(pigeon, hole);
    at_most_one(here, formula);
  }
  return formula;
}

Cnf parity(int n, bool odd, bool other_odd) {
  Cnf formula{n, {}};
  std::vector<int> terms(static_cast<std::size_t>(n));
  std::iota(terms.begin(), terms.end(), 1);
  chain(terms, odd, formula);
  std::ranges::reverse(terms);
  chain(terms, other_odd, formula);
  return formula;
}

Cnf permutation(int side, int forbidden) {
  Cnf formula{side * side, {}};
  const auto exactly_one = [&](const std::function<int(int)>& variable) {
    std::vector<int> all(static_cast<std::size_t>(side));
    for (int i = 0; i < side; ++i) all[static_cast<std::size_t>(i)] = variable(i);
    formula.clauses.push_back(all);
    at_most_one(all, formula);
  };
  for (int i = 0; i < side; ++i) {
    exactly_one([&](int j) { return i * side + j + 1; });
    exactly_one([&](int j) { return j * side + i + 1; });
  }
  for (int j = 0; j < forbidden; ++j) formula.clauses.push_back({-(j + 1)});
  return formula;
}

}  // namespace polyattn::lab
