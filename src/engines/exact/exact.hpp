#pragma once

/// Exact attention of order 2: blocked, online softmax, never an n x n array.
///
/// Shapes: queries [n_q, d], keys [n_kv, d], values [n_kv, d_v]. Cost 2 n_q n_kv (d + d_v) flops and one exp a pair;
/// memory O(n_kv (d + d_v)) for the packed keys. Arithmetic T in the sums of a key block, float64 beyond.
/// A row's bits depend only on its query, the keys, values, biases and its visible prefix.
/// The bound of every row is proved in docs/proofs/exact-engine.md.

#include "base/parallel.hpp"
#include "engines/exact/packed_keys.hpp"
#include "engines/problem.hpp"

#include <cstdint>

namespace polyattn::engines {

/// Answers the rows of `rows`. Where the problem says so, throws Error (non_finite) naming the first NaN or infinity in
/// a query. In float32 a row whose scores might overflow has an infinite bound; in float64 that is an Error
/// (non_finite).
template <class T>
void exact_rows(const HeadProblem& problem, const PackedKeys<T>& keys, const RowList& rows, const HeadOutputs& out,
                const base::Context& context);

/// The same, keys packed first. Returns what was seen of them.
template <class T>
KeyStatistics packed_rows(const HeadProblem& problem, const RowList& rows, const HeadOutputs& out,
                          const base::Context& context);

/// The same by whichever way suits the number of rows (see stream.hpp).
template <class T>
KeyStatistics exact_head(const HeadProblem& problem, const RowList& rows, const HeadOutputs& out,
                         const base::Context& context);

/// Bytes that exact_head allocates for `rows` rows.
std::int64_t exact_bytes(std::int64_t rows, std::int64_t n_kv, std::int64_t dim, std::int64_t value_dim, int threads,
                         std::int64_t element);

/// Work in the unit of the progress meter: pairs times (d + d_v + 12), the 12 standing for the exponential.
double exact_work(double pairs, std::int64_t dim, std::int64_t value_dim) noexcept;
inline double exact_work(double rows, double keys, std::int64_t dim, std::int64_t value_dim) noexcept {
  return exact_work(rows * keys, dim, value_dim);
}

}  // namespace polyattn::engines
