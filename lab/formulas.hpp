#pragma once

/// Families of formulas to try the reductions on.

#include "lab/cnf.hpp"

#include <cstdint>

namespace polyattn::lab {

/// `clauses` clauses, each of `length` different variables drawn uniformly and negated with probability 1/2; the same
/// for the same seed everywhere. At length 3 about half of all formulas with 4.26 clauses a variable are satisfiable.
/// Throws Error (invalid_argument) unless 1 <= length <= variables and clauses >= 0.
Cnf random_ksat(int variables, std::int64_t clauses, int length, std::uint64_t seed);

/// Every one of `pigeons` sits in one of `holes`, no two in one: pigeons * holes variables; satisfiable if and only if
/// pigeons <= holes.
Cnf pigeonhole(int pigeons, int holes);

/// x_1 + ... + x_n (mod 2) by a chain of partial sums that ends in `odd`, and by another one from the other end that
/// ends in `other_odd`: 3n - 2 variables, n >= 1; satisfiable if and only if the two agree.
Cnf parity(int n, bool odd, bool other_odd);

/// At least one and at most one of each row and of each column of a square of `side` * `side` variables: permutations.
/// `forbidden` first entries of the first row are false; satisfiable if and only if one is left.
Cnf permutation(int side, int forbidden);

}  // namespace polyattn::lab
