#pragma once

/// The planner: for one head the cheapest engine and arithmetic whose certificate is expected to meet the tolerance.

#include "base/parallel.hpp"
#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial/frame.hpp"
#include "engines/polynomial/table.hpp"
#include "planning/request.hpp"
#include "polyattn/report.hpp"

#include <memory>

namespace polyattn::planning {

/// All the polynomial engine needs that was fixed by planning. For prepared keys one of the moments is there too.
struct PolynomialChoice {
  engines::Frame frame;
  engines::ValueRange values;
  engines::FeatureList features;
  engines::PolynomialTable table;
  Arithmetic arithmetic = Arithmetic::float32;
  std::shared_ptr<const engines::PreparedMoments<float>> moments32;
  std::shared_ptr<const engines::PreparedMoments<double>> moments64;
};

struct HeadDecision {
  HeadPlan plan;
  /// Arithmetic of the exact engine; automatic: the cheapest that meets the tolerance, decided when keys are packed.
  Arithmetic exact_arithmetic = Arithmetic::automatic;
  std::shared_ptr<const PolynomialChoice> polynomial;  ///< if the polynomial engine was chosen
};

/// A head whose queries are known only as a domain: `problem.queries` then holds representatives.
struct Domain {
  engines::QueryExtent extent;
  double expected_queries = 0.0;
};

HeadDecision decide(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                    const Domain* domain = nullptr);

/// The tolerance in the units of the values. For a range of 0 it is 0.
double absolute_tolerance(const Tolerance& tolerance, double range) noexcept;

}  // namespace polyattn::planning
