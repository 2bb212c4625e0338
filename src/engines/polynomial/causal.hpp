#pragma once

/// Causal attention by the polynomial engine: keys before a row's block by their moments, keys inside it exactly.

#include "engines/polynomial/evaluate.hpp"

#include <cstdint>

namespace polyattn::engines {

/// Keys of a block, a multiple of kCausalBlock and at most kMomentBlock. A row sees half a block exactly, in the mean,
/// and every block scales all moments anew: the length balances the two. It depends on sizes only, never on threads.
std::int64_t causal_block(std::int64_t dim, std::int64_t value_dim, double moments) noexcept;

/// Whether the exact part of causal rows is in float32 even where moments are in float64: it errs by much more than
/// these, but a row that sees many keys has few pairs among them, and no row errs by more than its pairs alone; where
/// that leaves most of the tolerance, float32 is twice as fast. Not where log-sum-exp is asked for.
bool pairs_in_float32(const Frame& frame, const ValueRange& values, double tolerance);

/// Key blocks whose rows threads answer before they wait for each other; as many again are being prepared. Decides no
/// bit.
std::int64_t causal_round(int threads) noexcept;

/// As evaluate_rows, for a causal mask. Keys are taken in blocks (causal_block); a row that sees L keys uses the
/// moments of the whole blocks before L and the exact tile kernel for the rest, both in the frame's coordinates; the
/// latter in float32 even where T is float64 if the tolerance allows it and log-sum-exp is not asked for. The
/// moments are kept relative to the largest weight seen so far (a power of two), so that early rows do not vanish
/// beside later, heavier keys.
template <class T>
EvaluationSummary causal_rows(const HeadProblem& problem, const Frame& frame, const ValueRange& values,
                              const FeatureList& features, const PolynomialTable& table, const Acceptance& acceptance,
                              const HeadOutputs& out, std::vector<std::uint8_t>& answered,
                              const base::Context& context);

}  // namespace polyattn::engines
