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

/// The constant answer: the mean of the visible values weighted by exp(key bias), and the weight, in units of
/// exp(largest).
struct ConstantAnswer {
  std::vector<double> mean;
  double weight = 0.0;
  double largest = 0.0;  ///< bias
};
/// Cost: one pass over V.
ConstantAnswer constant_answer(const engines::HeadProblem& problem, const base::Context& context);
/// That of two sets of keys together.
ConstantAnswer join(const ConstantAnswer& a, const ConstantAnswer& b);
/// Its mean alone.
std::vector<double> mean_value(const engines::HeadProblem& problem, const base::Context& context);

/// Throws Error (non_finite) if a key bias is NaN or +infinity.
void require_bias(const engines::HeadProblem& problem);

}  // namespace polyattn::planning
