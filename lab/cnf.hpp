#pragma once

/// Formulas in conjunctive normal form, and the DIMACS text format for them.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace polyattn::lab {

/// A literal as DIMACS writes it: variable v is v, its negation -v; variables count from 1.
using Clause = std::vector<int>;

struct Cnf {
  int variables = 0;
  std::vector<Clause> clauses;  ///< a clause without literals is never satisfied
};

/// Truth values; entry v - 1 belongs to variable v.
using Assignment = std::vector<bool>;

/// Whether every clause has a true literal. Needs a value for every variable.
bool satisfies(const Cnf& formula, const Assignment& model);

/// Reads DIMACS CNF: lines of comments `c ...`, one line `p cnf VARIABLES CLAUSES`, then clauses, numbers ended by 0,
/// on as many lines as they like; a line beginning with `%` ends the text, as in the files of SATLIB.
///
/// Throws Error (invalid_argument), which begins with "NAME, line L", if the text is anything else, if the numbers of
/// variables or clauses are not those of the header, or if there are more than `most_variables` variables.
Cnf read_dimacs(std::string_view text, const std::string& name, std::int64_t most_variables = 1'000'000'000);

/// The text of a formula; each of the lines of `comment` becomes a comment.
std::string write_dimacs(const Cnf& formula, std::string_view comment = {});

/// The same formula for the same assignments: literals within a clause sorted and said once, clauses that hold always
/// or are said before left out.
Cnf simplified(const Cnf& formula);

}  // namespace polyattn::lab
