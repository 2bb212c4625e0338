#pragma once

/// One answer out of several: keys that do not fit into one call, or into one machine.
///
/// Parts answer the same queries against disjoint sets of keys. With L_p the log-sum-exp of part p and T_p its output,
/// attention over all keys together is
///
///     L = log sum_p exp(L_p),      T = sum_p exp(L_p - L) T_p.

#include "polyattn/attention.hpp"

namespace polyattn {

/// One part: an output [batch, heads, n, d_v] and numbers per row, [batch, heads, n, 1]. Any storage types, any
/// strides. Rows with a log-sum-exp of -inf see no key of this part: their output is not read and may hold anything.
struct Partial {
  ConstView output;
  ConstView lse;
  /// As `attend` gives them: 16-bit storage apart.
  std::optional<ConstView> row_bounds = std::nullopt;
  /// Bounds the error of `lse` as it is stored.
  std::optional<ConstView> lse_bound = std::nullopt;
};

struct MergeOptions {
  std::optional<DType> output_dtype = std::nullopt;  ///< default: float64 if the output of a part is, else float32
  NonFinite non_finite = NonFinite::error;  ///< for outputs that are not finite and an `lse` that is NaN or +inf
  int threads = 0;                          ///< 0: all the machine offers
};

/// Attention over the keys of all parts. Bounds are infinite where they do not follow from what the parts bring: for an
/// output, where a part that sees keys has no row bound; for a log-sum-exp, where one has no bound on its own.
struct Merged {
  Tensor output;      ///< [batch, heads, n, d_v]; 0 where no part sees a key
  Tensor lse;         ///< float64 [batch, heads, n, 1]; -inf where no part sees a key
  Tensor row_bounds;  ///< float64 [batch, heads, n, 1]; 16-bit storage of this output apart
  Tensor lse_bound;   ///< float64 [batch, heads, n, 1]
};

/// Computed in float64, each row on its own. Terms are added in the order of the parts, on which the last bits depend.
/// Nothing can check that no key belongs to two parts. Proofs: docs/proofs/merge.md.
POLYATTN_EXPORT Merged merge(std::span<const Partial> parts, const MergeOptions& options = {});

/// Views of a result, which must outlive them. Throws Error (invalid_argument) if the result has no log-sum-exp.
POLYATTN_EXPORT Partial partial(const Result& result);
POLYATTN_EXPORT Partial partial(const Merged& merged);
Partial partial(Result&& result) = delete;
Partial partial(Merged&& merged) = delete;

}  // namespace polyattn
