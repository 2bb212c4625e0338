#pragma once

/// Range and centre of the visible values of a head.

#include "base/parallel.hpp"
#include "engines/polynomial/moments.hpp"
#include "engines/problem.hpp"

namespace polyattn::planning {

/// Least and largest visible value per column, largest magnitude, and as centre a (weighted, if log_weight is given)
/// mean of about a thousand of them. Checks that visible values are finite. Cost: one pass over V.
engines::ValueRange value_range(const engines::HeadProblem& problem, const double* log_weight, double log_scale,
                                const base::Context& context);

/// Mean of the visible values weighted by exp(key bias): what the constant answer would be.
std::vector<double> mean_value(const engines::HeadProblem& problem, const base::Context& context);

/// Throws Error (non_finite) if a key bias is NaN or +infinity.
void require_bias(const engines::HeadProblem& problem);

}  // namespace polyattn::planning
