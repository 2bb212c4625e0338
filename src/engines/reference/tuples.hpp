#pragma once

/// The specification of attention of any order k >= 2 ([AS24] Definition 1.5), by textbook loops over all tuples of
/// keys in float64, every sum over tuples compensated.
///
///     s(j_1 ... j_m) = scale sum_l q_l k^1_{j_1 l} ... k^m_{j_m l} + b^1_{j_1} + ... + b^m_{j_m},   m = k - 1
///     T_c = sum exp(s) v^1_{j_1 c} ... v^m_{j_m c} / sum exp(s)
///
/// Shapes: queries [n_q, d], of each set keys [n_s, d] and values [n_s, d_v]. Cost n_q n_1 ... n_m (2 d + d_v)
/// operations and one exp for each tuple; memory O((n_1 + ... + n_m) (d + d_v)). Its bound is proved in
/// docs/proofs/tuples-exact.md.

#include "base/parallel.hpp"
#include "engines/tuple_problem.hpp"

namespace polyattn::engines {

/// Answers the rows of `rows`. Keys whose bias is -inf are never read, and what a row does not see does not touch it; a
/// row that sees no tuple is zero with log-sum-exp -inf. Throws Error (non_finite), unless they are to propagate, for
/// NaN and infinity in Q, K, V (and +inf in bias), naming the first, and where finite inputs have products or scores
/// beyond the range of float64.
void reference_tuples(const TupleProblem& problem, const RowList& rows, const HeadOutputs& out,
                      const base::Context& context);

/// Predicted work in the unit of `exact_work`: what is added to the progress meter when all rows are done.
double reference_tuple_work(const TupleProblem& problem, const RowList& rows);

}  // namespace polyattn::engines
