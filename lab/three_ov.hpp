#pragma once

/// k-SAT -> 3-OV, by split and list.
///
/// 3-OV: given three lists of vectors in {0, 1}^m, are there a, b, c, one of each, with <a, b, c> = sum_l a_l b_l c_l =
/// 0?
///
/// The variables of a formula are divided into three parts. Every assignment of a part becomes a vector with a bit for
/// each clause: 1 if no literal of the clause that lies in this part is true. Then <a, b, c> is the number of clauses
/// that the three assignments together leave false, so that orthogonal triples are the models.
///
/// Size: N variables and m clauses become three lists of 2^(N/3) vectors, rounded up or down, in m dimensions. An
/// algorithm for 3-OV in time n^(3-e) poly(m) would be one for SAT in time 2^((1-e/3) N) poly(m).
///
/// Source: Williams 2005, "A new algorithm for optimal 2-constraint satisfaction and its implications"; [AS24] after
/// Conjecture 4.3.

#include "lab/bits.hpp"
#include "lab/cnf.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace polyattn::lab {

/// Three lists of vectors of one dimension; lists may have different lengths.
struct ThreeOv {
  std::array<BitVectors, 3> sets;

  [[nodiscard]] std::int64_t dimension() const noexcept { return sets[0].dimension(); }
};

/// One vector of each set.
using Triple = std::array<std::int64_t, 3>;

/// <a, b, c> of a triple: the clauses it leaves false.
std::int64_t inner_product(const ThreeOv& instance, const Triple& triple) noexcept;

/// The variables, as numbered by the formula, of the three parts; variables no clause mentions are in none.
using Parts = std::array<std::vector<int>, 3>;

/// Most variables that are split: 2^12 vectors in a list, 2^36 triples.
inline constexpr int most_split_variables = 36;

/// Variables that occur, in order, in three parts whose sizes differ by at most one. Throws Error (invalid_argument) if
/// more than `most_split_variables` occur.
Parts split(const Cnf& formula);
/// The vectors of all assignments; vector x of a part gives variable number b of the part the value of bit b of x.
ThreeOv list(const Cnf& formula, const Parts& parts);
/// The assignment a triple stands for; variables in no part are false.
Assignment assignment(const Cnf& formula, const Parts& parts, const Triple& triple);

}  // namespace polyattn::lab
