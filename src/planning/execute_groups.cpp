// Heads whose queries were put into groups (query_groups.cpp).

#include "planning/execution.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::planning {

template <class T>
void Execution::evaluate_group(const QueryGroup& part, const engines::Acceptance& wanted,
                               std::vector<std::uint8_t>& answered) {
  const PolynomialChoice& choice = *part.polynomial;
  engines::MomentTotals totals = engines::make_totals(choice.features, context.memory);
  engines::sum_moments<T>(part.problem, choice.frame, choice.values, choice.features, 0, context, totals);
  const engines::PreparedMoments<T> moments =
      engines::prepare_moments<T>(choice.frame, choice.values, choice.features, choice.table, totals, context.memory);
  const engines::EvaluationSummary summary = engines::evaluate_rows<T>(
      part.problem, choice.frame, choice.values, moments, wanted, outputs, answered, context, part.rows.data());
  if (summary.answered > 0) {
    report.smallest_denominator = std::isnan(report.smallest_denominator)
                                      ? summary.smallest_denominator
                                      : std::min(report.smallest_denominator, summary.smallest_denominator);
  }
}

void Execution::run_groups(const engines::Acceptance& wanted) {
  std::vector<std::uint8_t> answered(base::usize(problem.n_q()), 0);
  for (const QueryGroup& part : decision.groups) {
    if (part.polynomial == nullptr) {
      continue;
    }
    if (part.polynomial->arithmetic == Arithmetic::float32) {
      evaluate_group<float>(part, wanted, answered);
    } else {
      evaluate_group<double>(part, wanted, answered);
    }
  }
  keep_answered(answered);
}

}  // namespace polyattn::planning
