#pragma once

/// The specification: attention of order 2 by textbook loops in float64, two passes per row (scores and their maximum,
/// then exponentials and sums), every sum over keys compensated. Every mask and soft-capping.
///
/// Shapes: queries [n_q, d], keys [n_kv, d], values [n_kv, d_v]; cost n_q n_kv (d + d_v) operations and one exp a pair.
/// Its bound is proved in docs/proofs/exact-engine.md, section 6.

#include "base/parallel.hpp"
#include "engines/problem.hpp"

#include <cstdint>

namespace polyattn::engines {

/// Answers the rows of `rows`. Keys whose bias is -inf are never read, and what a row does not see does not touch it; a
/// row that sees no key is zero with log-sum-exp -inf. Non-finite numbers in Q, K, V and bias propagate: the caller
/// refuses them beforehand where it should. Throws Error (non_finite), unless they are to propagate, for NaN or +inf in
/// an additive mask and where finite inputs have scores beyond the range of float64.
void reference_rows(const HeadProblem& problem, const RowList& rows, const HeadOutputs& out,
                    const base::Context& context);

/// Predicted work in the unit of `exact_work`: what is added to the progress meter when all rows are done.
double reference_work(const HeadProblem& problem, const RowList& rows);

}  // namespace polyattn::engines
