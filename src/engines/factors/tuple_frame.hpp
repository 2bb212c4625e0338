#pragma once

/// Where the scores of one query head of order 3 or above lie.
///
///     s_i(j_1 ...) = scale sum_l q_il k^1_{j_1 l} k^2_{j_2 l} ... = sum_l y_il x^1_{j_1 l} x^2_{j_2 l} ...
///
/// with y_il = scale 2^(e_1l + e_2l + ...) q_il and x^s_jl = 2^(-e_sl) k^s_jl, 2^e_sl just above the largest |k^s_jl|
/// of the key head: x is exact, y rounded once. Keys are not centred: with three sides a shift of one of them changes
/// the scores by something that depends on two indices. Axes on which a side is 0 everywhere add nothing and are left
/// out.

#include "base/parallel.hpp"
#include "engines/factors/frame.hpp"
#include "engines/tuple_problem.hpp"

#include <vector>

namespace polyattn::engines {

/// Axes on which no side of the problem is 0 everywhere. Checks for NaN and infinity (Error, non_finite).
std::vector<bool> axes_in_use(const TupleProblem& problem);

/// The frame with these axes, which hold those in use (heads that share keys have to have the same ones). Scores are
/// bounded by norms (numerics/product_sum_bound.hpp). Throws Error (not_reachable) where magnitudes are beyond those
/// the factors are proved for. Cost: a few passes over each side.
FactorFrame make_tuple_factor_frame(const TupleProblem& problem, const std::vector<bool>& axes,
                                    const base::Context& context);

}  // namespace polyattn::engines
