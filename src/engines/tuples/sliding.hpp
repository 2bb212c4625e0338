#pragma once

/// Rows that see different keys: causal masks and windows. Sums over the keys of every set grow by the keys a row sees
/// and the one before did not, one rank-one update each, and shrink by those that left; every row is read off their
/// product. Time linear in the rows; memory that of the moments.

#include "engines/tuples/polynomial.hpp"

namespace polyattn::engines {

/// As evaluate_rows, in float64, for intervals of keys that only ever move on. Up to order kSlidingSets + 1, beyond
/// which no row is answered. Rows that see no key are not answered.
EvaluationSummary sliding_rows(const TupleProblem& problem, const TupleFrame& frame, const TupleChoice& choice,
                               const Acceptance& acceptance, const HeadOutputs& out,
                               std::vector<std::uint8_t>& answered, const base::Context& context);

/// Rounding of such rows, as tuple_rounding.
RoundingModel sliding_rounding(const TupleProblem& problem, const TupleFrame& frame, int degree,
                               std::int64_t rank) noexcept;

}  // namespace polyattn::engines
