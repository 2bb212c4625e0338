#pragma once

/// Few queries against many keys (decoding): keys are split among the threads and read once, a block at a time, instead
/// of being packed first. The same bits as exact_rows.

#include "base/parallel.hpp"
#include "engines/exact/key_statistics.hpp"
#include "engines/problem.hpp"

#include <cstdint>

namespace polyattn::engines {

/// Up to this many rows of a head are answered this way.
inline constexpr std::int64_t kFewRows = 192;
/// Up to this many go through the kernel that takes one query at a time and keys as they lie in memory.
inline constexpr std::int64_t kSingleRows = 3;

/// Answers the rows of `rows`, at most kFewRows, and tells what was seen of the keys. Errors as pack_keys and
/// exact_rows. Work n (d + d_v) reads, memory O(d + d_v) a thread and for every 2048 keys.
template <class T>
KeyStatistics stream_rows(const HeadProblem& problem, const RowList& rows, const HeadOutputs& out,
                          const base::Context& context);

/// Bytes that stream_rows allocates for `rows` rows.
std::int64_t stream_bytes(std::int64_t rows, std::int64_t n_kv, std::int64_t dim, std::int64_t value_dim, int threads,
                          std::int64_t element);

}  // namespace polyattn::engines
