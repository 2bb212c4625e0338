#pragma once

/// Exact attention of any order k >= 2 ([AS24] Definition 1.5): rows q_i o k^1_{j_1} o ... of all key sets but one are
/// queries of the order-2 tiles against that one set, the innermost, and what the tiles find is joined per query with
/// the weights and values of the other sets. Never an array of n^(k-1) elements.
///
/// Shapes: queries [n_q, d], of each set keys [n_s, d] and values [n_s, d_v]. Cost 2 (d + d_v) flops and one exp for
/// each tuple a row may see; memory O((n_1 + ... + n_{k-1}) (d + d_v)), one state of d_v numbers for every 384 rows
/// of a query, and the tiles. Arithmetic T in the sums of a key block, float64 beyond.
///
/// A row's bits depend only on its query, the keys, values, biases and masks. The bound of every row is proved in
/// docs/proofs/tuples-exact.md.

#include "base/parallel.hpp"
#include "engines/exact/certificate.hpp"
#include "engines/tuple_problem.hpp"

#include <cstdint>

namespace polyattn::engines {

/// Answers the rows of `rows`; every output of HeadOutputs, `approximation` being 0. Keys whose bias is -inf are never
/// read; a row that sees no tuple is zero with log-sum-exp -inf. Throws Error (non_finite), where the problem says so,
/// naming the first NaN or infinity in Q, K or V ("q", "keys[0]", ...; +inf and NaN in "key_bias[0]", ...). In float32
/// a row whose scores might overflow has an infinite bound; in float64 that is an Error (non_finite).
template <class T>
void exact_tuples(const TupleProblem& problem, const RowList& rows, const HeadOutputs& out,
                  const base::Context& context);

/// Bounds of exact in float32 and in float64.
struct TupleBounds {
  ExactBound single;
  ExactBound wide;
};

/// Bounds that hold for every row of the problem, known before running: one pass over Q, K and V for both, at cost
/// O((n_q + n_1 + ...) (d + d_v)). Infinite where scores might overflow the arithmetic. Throws Error (non_finite) for
/// K and V as exact_tuples does.
TupleBounds exact_tuple_bounds(const TupleProblem& problem, DType output);

/// Work in the unit of `exact_work`, of what the rows may see by position: what is added to the progress meter.
double exact_tuple_work(const TupleProblem& problem, const RowList& rows) noexcept;

/// Bytes that exact_tuples allocates for `rows` rows of the problem, `element` being sizeof(T).
std::int64_t exact_tuple_bytes(const TupleProblem& problem, std::int64_t rows, int threads, std::int64_t element);

}  // namespace polyattn::engines
