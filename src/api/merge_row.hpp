#pragma once

/// One row out of the same row of several parts. With m = max_p L_p, weights e_p = exp(L_p - m) and E = sum_p e_p,
///
///     L = m + log E,      T = sum_p (e_p / E) T_p, clipped into the hull of the T_p,
///
/// in float64, terms in the order of the parts: O(parts * d_v) operations. Bounds: docs/proofs/merge.md.

#include "polyattn/dtype.hpp"

#include <cstdint>
#include <span>

namespace polyattn::api {

/// What rounding to a 16-bit type may have taken from a number that is stored as x: at most relative |x| + absolute.
struct StorageError {
  double relative = 0.0;
  double absolute = 0.0;
};
StorageError storage_error(DType type) noexcept;

/// One part in one row that it sees keys in. Bounds are non-negative, infinite where nothing is known.
struct Share {
  double lse = 0.0;        ///< finite
  double lse_bound = 0.0;  ///< l_p
  double bound = 0.0;      ///< b_p, storage apart
  StorageError storage;
  double weight = 0.0;  ///< computed: e_p as computed
  double change = 0.0;  ///< computed: g_p, a bound on the error of that
};

struct RowBounds {
  double lse = 0.0;
  double lse_bound = 0.0;
  double row_bound = 0.0;  ///< max_c |merged - T|, infinite if a merged number is not finite
};

/// The columns of merge_row's scratch memory.
inline constexpr std::int64_t kMergeScratch = 3;

/// `shares`, at least one, with outputs `values` [shares][columns], into merged[columns], rounded to float32 if asked.
/// `scratch` is kMergeScratch * columns numbers.
RowBounds merge_row(std::span<Share> shares, const double* values, std::int64_t columns, bool to_float32,
                    double* merged, double* scratch) noexcept;

}  // namespace polyattn::api
