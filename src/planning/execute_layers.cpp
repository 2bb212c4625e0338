// Heads whose features are in layers of turned coordinates (layer_search.cpp).

#include "planning/execution.hpp"

#include <algorithm>

namespace polyattn::planning {

double layer_work(const engines::HeadProblem& problem, const engines::LayerShape& shape) {
  const engines::LayerFeatures features = engines::layer_features(problem.dim(), shape, problem.value_dim());
  return engines::moment_work(features.strong) + engines::moment_work(features.first) +
         engines::moment_work(features.weak);
}

template <class T>
void Execution::evaluate_layers(const engines::Acceptance& wanted, std::vector<std::uint8_t>& answered) {
  const PolynomialChoice& choice = *decision.polynomial;
  const LayerChoice& layers = *decision.layers;
  const engines::TurnedHead turned =
      engines::turn_head(problem, choice.frame, layers.maps, layers.shape.strong, context);
  const double radius = std::min(turned.strong_frame.radius, kMostLayerRadius);
  const engines::PreparedLayers<T> prepared =
      engines::prepare_layers<T>(turned, choice.values, layers.shape, radius, context);
  const engines::EvaluationSummary summary =
      engines::evaluate_layers<T>(turned, choice.values, prepared, wanted, outputs, answered, context);
  if (summary.answered > 0) {
    report.smallest_denominator = summary.smallest_denominator;
  }
  report.radius_after = turned.strong_frame.radius;
}

void Execution::run_layers(const engines::Acceptance& wanted) {
  std::vector<std::uint8_t> answered(base::usize(problem.n_q()), 0);
  if (outputs.lse == nullptr && outputs.lse_bound == nullptr) {  // else nothing is lost but time: all rows go to exact
    if (decision.plan.arithmetic == Arithmetic::float32) {
      evaluate_layers<float>(wanted, answered);
    } else {
      evaluate_layers<double>(wanted, answered);
    }
  }
  keep_answered(answered);
}

}  // namespace polyattn::planning
