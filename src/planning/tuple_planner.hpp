#pragma once

/// The state of planning one head of order k >= 3. Private to planning: tuple_plan.cpp steers and has exact,
/// tuple_polynomials.cpp the search for polynomials.

#include "planning/cost_model.hpp"
#include "planning/tuple_plan.hpp"

#include <string>

namespace polyattn::planning {

struct TuplePlanner {
  const engines::TupleProblem& problem;
  const Request& request;
  const base::Context& context;
  CostModel cost;        ///< of one thread: the number of threads must not change the choice
  double tuples = 0.0;   ///< all rows may see together
  bool nothing = false;  ///< no row sees a tuple
  TupleDecision decision;

  TuplePlanner(const engines::TupleProblem& given, const Request& asked, const base::Context& run);
  [[nodiscard]] HeadPlan& plan() noexcept { return decision.plan; }
  [[nodiscard]] const HeadPlan& plan() const noexcept { return decision.plan; }

  /// Predicted, of so many of the tuples.
  [[nodiscard]] double exact_seconds(double of_tuples, Arithmetic arithmetic) const noexcept;
  void reference_candidate();
  void exact_candidates();
  void polynomial_candidates();
  /// Why no polynomial is considered without being asked for; empty: one is.
  [[nodiscard]] std::string why_not_polynomial() const;
  void explain();
  /// What carrying out the chosen candidate takes.
  void settle();
};

}  // namespace polyattn::planning
