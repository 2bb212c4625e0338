#pragma once

/// 3-OV -> order-3 attention, directly.
///
/// Statement. Let N = n1 n2 >= 1 be the number of pairs (b, c), lambda = 2 ln(4N). Queries [a, 1, 1], keys [b, 1, 0]
/// and [c, 0, 1] with value 1, one pad key [0, 1/2, 1] in the first set and [0, 1, 0] in the second with value 0,
/// scores -lambda times the inner product of the three. Then for every row
///
///     output >= 8/11  if some pair has <a, b, c> = 0,
///     output <= 1/5   if none has,
///
/// so that an oracle that errs by up to 1/4 decides every row at the threshold 23/50. The same holds for any part of
/// the keys with the same lambda.
///
/// Size: n vectors in m dimensions become n queries and n + 1 keys in m + 2 dimensions, entries 0, 1/2 and 1, scores
/// in [-lambda m, 0]: R = Theta(m log n), beyond every polynomial.
///
/// Proof: docs/proofs/lab-sat.md, section 1. In the last two coordinates two real keys and a query have the product 1*0
/// + 0*1 = 0, the two pads 1/2, a pad and a real key 1.

#include "lab/oracle.hpp"
#include "lab/three_ov.hpp"

namespace polyattn::lab {

/// Borrows `instance`. Throws Error (invalid_argument) if the second or third set is empty.
TripleAttention direct_attention(const ThreeOv& instance);

}  // namespace polyattn::lab
