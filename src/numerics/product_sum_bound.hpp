#pragma once

/// How large the scores of attention over tuples can be, from one pass over each of its sides.

#include <cstdint>
#include <span>

namespace polyattn::numerics {

/// Finite float64 points [count, dim], contiguous.
struct PointRows {
  const double* data = nullptr;
  std::int64_t count = 0;
  std::int64_t dim = 0;
};

/// At least sum_l |z_1(j_1, l) z_2(j_2, l) ... z_k(j_k, l)| for every choice of a row of each side: the sides' number
/// is at least 1, their `dim` the same. 0 if a side is empty.
///
/// The smallest of a family of Hoelder bounds, all after the rescaling of the axes that equalises the sides (proof:
/// product_sum_bound.cpp); never more than the sum over axes of the products of the sides' largest entries. Rounding
/// included, subnormal numbers too; infinite where sizes leave the range of float64, or
/// differ between axes by more than 2^960. Cost: some 4 k multiply-adds for
/// each number.
double product_sum_bound(std::span<const PointRows> sides);

}  // namespace polyattn::numerics
