#pragma once

/// The planner of order k >= 3: for one head the cheapest engine and arithmetic whose certificate is expected to meet
/// the tolerance. As at order 2 (decide.hpp) it only decides what is tried: execution certifies every row.

#include "base/parallel.hpp"
#include "engines/tuple_problem.hpp"
#include "engines/tuples/polynomial.hpp"
#include "planning/decide.hpp"
#include "planning/request.hpp"
#include "planning/tuple_facts.hpp"
#include "polyattn/report.hpp"

#include <limits>
#include <memory>
#include <span>

namespace polyattn::planning {

/// Polynomials that were chosen, and what was measured for them.
struct TuplePolynomials {
  engines::TupleFrame frame;
  engines::TupleChoice choice;
  double seconds_per_row = 0.0;  ///< of an exact row, predicted: what a refused row may cost
};

struct TupleDecision {
  HeadPlan plan;
  TupleFacts facts;
  std::shared_ptr<const TuplePolynomials> polynomials{};  ///< if the polynomial engine was chosen and has work to do
  /// Arithmetic of the exact engine; automatic: the cheapest that meets the tolerance.
  Arithmetic exact_arithmetic = Arithmetic::automatic;
  /// A-priori bound of exact in float32 for any row; infinity where nobody asked.
  double float32_bound = std::numeric_limits<double>::infinity();
};

/// What rows must meet to count as answered by polynomials, `share` of what the request allows.
engines::Acceptance tuple_acceptance(const Request& request, double tolerance, double share) noexcept;

TupleDecision decide_tuples(const engines::TupleProblem& problem, const Request& request, const base::Context& context);

/// The plans for several tolerances of the request's kind, as decide_each (decide.hpp).
PlanSeries decide_each_tuple(const engines::TupleProblem& problem, const Request& request,
                             std::span<const double> tolerances, const base::Context& context);

}  // namespace polyattn::planning
