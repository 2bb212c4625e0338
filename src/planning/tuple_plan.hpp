#pragma once

/// The planner of order k >= 3: for one head the cheapest engine and arithmetic whose certificate is expected to meet
/// the tolerance. As at order 2 (decide.hpp) it only decides what is tried: execution certifies every row.

#include "base/parallel.hpp"
#include "engines/tuple_problem.hpp"
#include "engines/tuples/exact.hpp"
#include "engines/tuples/polynomial.hpp"
#include "planning/decide.hpp"
#include "planning/request.hpp"
#include "planning/tuple_facts.hpp"
#include "polyattn/report.hpp"

#include <limits>
#include <memory>
#include <optional>
#include <span>

namespace polyattn::planning {

/// Polynomials that were chosen, and what was measured for them.
struct TuplePolynomials {
  std::shared_ptr<const engines::TupleFrame> frame;
  engines::TupleChoice choice;
  std::shared_ptr<const engines::TupleSums> sums{};  ///< of prepared keys; else a call makes its own
  double seconds_per_row = 0.0;                      ///< of an exact row, predicted: what a refused row may cost
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

/// What planning measures of a head whatever the tolerance: once for all tolerances, and what not every one needs when
/// the first asks for it.
struct MeasuredTuples {
  TupleFacts facts;
  double tuples = 0.0;                                 ///< all rows may see together
  std::optional<engines::TupleBounds> bounds{};        ///< of exact
  std::shared_ptr<const engines::TupleFrame> frame{};  ///< for polynomials
};
MeasuredTuples look_at_tuples(const engines::TupleProblem& problem, const base::Context& context);

/// What rows must meet to count as answered by polynomials, `share` of what the request allows.
engines::Acceptance tuple_acceptance(const Request& request, double tolerance, double share) noexcept;

TupleDecision decide_tuples(const engines::TupleProblem& problem, const Request& request, const base::Context& context);

/// For keys that are prepared: `problem` holds representatives of the queries to come, `rows` of them a call. With sums
/// over the keys, where polynomials are chosen and every row sees every key.
TupleDecision prepare_tuples(const engines::TupleProblem& problem, const Request& request, double rows,
                             const base::Context& context);

/// The plans for several tolerances of the request's kind, as decide_each (decide.hpp). `measured` is of this problem
/// and takes in what they need.
PlanSeries decide_each_tuple(const engines::TupleProblem& problem, const Request& request,
                             std::span<const double> tolerances, MeasuredTuples& measured,
                             const base::Context& context);

}  // namespace polyattn::planning
