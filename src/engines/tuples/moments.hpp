#pragma once

/// Moments of virtual keys: the Hadamard product of the moments of the sets ([AS24] Lemma C.3),
///
///     sum over tuples of w (k^1 o ... o k^m)^alpha v^1 ... v^m = prod_s sum_j w^s_j (k^s_j)^alpha v^s_j,
///
/// and what their roundings and those of rows read off them may do. docs/proofs/tuples.md has statement and proof.

#include "engines/polynomial/evaluate.hpp"
#include "engines/tuples/frame.hpp"

namespace polyattn::engines {

struct TupleMoments {
  MomentTotals product;   ///< in units of 2^exponent, so that W is at most 2^m; `keys` is of no use here
  double exponent = 0.0;  ///< the weights beside the units of the frame
  double largest = 1.0;   ///< prod_s max(n_s, W_s, sum w |v|, sum w v^2), in the units of the frame: more than any sum
};

/// Polynomials for the radius of the frame, or for the largest radius there are any for.
PolynomialTable tuple_table(const TupleFrame& frame, int degree);

/// Sums over all keys of every set, in arithmetic T.
template <class T>
TupleMoments sum_tuple_moments(const TupleFrame& frame, const FeatureList& features, const base::Context& context);

/// What roundings may do to sums over the virtual keys, read in arithmetic T: `keys[s]` keys in set s. `smallest` is
/// such that what bound_entries makes of it, with TupleMoments::largest keys, bounds what underflow may.
template <class T>
RoundingModel tuple_rounding(int degree, std::int64_t rank, const std::vector<std::int64_t>& keys) noexcept;

/// Everything fixed before rows are answered. The radius of the table is the frame's.
template <class T>
PreparedMoments<T> prepare_tuples(const TupleFrame& frame, const FeatureList& features, const PolynomialTable& table,
                                  const RoundingModel& rounding, const TupleMoments& moments,
                                  base::MemoryMeter* memory);

}  // namespace polyattn::engines
