#pragma once

/// The state of planning one head of order k >= 3. Private to planning: tuple_plan.cpp steers and has exact,
/// tuple_polynomials.cpp the search for polynomials.

#include "planning/cost_model.hpp"
#include "planning/tuple_plan.hpp"

#include <memory>
#include <string>
#include <vector>

namespace polyattn::planning {

/// A way to answer a head by polynomials, and what is expected of it.
struct TupleFind {
  engines::TupleChoice choice;
  Candidate candidate;
  double rounding = 0.0;  ///< of the row that is bounded worst: what no degree improves
};

struct TuplePlanner {
  const engines::TupleProblem& problem;
  const Request& request;
  const base::Context& context;
  MeasuredTuples& known;
  CostModel cost;        ///< of one thread: the number of threads must not change the choice
  double rows = 0.0;     ///< of a call: those of the problem, or as many as are expected
  bool nothing = false;  ///< no row sees a tuple
  TupleDecision decision;
  std::shared_ptr<TuplePolynomials> measured{};  ///< once polynomials were looked for
  std::vector<TupleFind> found{};                ///< the best of each arithmetic
  double left = 0.0;                             ///< seconds that looking may still take
  std::string ineligible{};                      ///< why no polynomial is considered unasked; empty: it is

  TuplePlanner(const engines::TupleProblem& given, const Request& asked, const base::Context& run,
               MeasuredTuples& measured_before);
  [[nodiscard]] HeadPlan& plan() noexcept { return decision.plan; }
  [[nodiscard]] const HeadPlan& plan() const noexcept { return decision.plan; }

  /// Predicted, of so many of the tuples.
  [[nodiscard]] double exact_seconds(double of_tuples, Arithmetic arithmetic) const noexcept;
  void reference_candidate();
  void exact_candidates();
  void polynomial_candidates();
  /// Predicted seconds of a choice that leaves no row to exact.
  [[nodiscard]] double own_seconds(const engines::TupleChoice& choice) const noexcept;
  /// And of looking at it.
  [[nodiscard]] double look_seconds(const engines::TupleChoice& choice) const noexcept;
  [[nodiscard]] TupleFind predicted(const engines::TupleChoice& choice);
  /// A degree to begin with, from typical scores.
  [[nodiscard]] int likely_degree() const noexcept;
  /// Whether a degree may be looked at: it can be held, and be worth its time if it serves every row.
  [[nodiscard]] bool may_try(Arithmetic arithmetic, int degree, double to_beat) const noexcept;
  /// The better of a degree without and with second moments weighted with the values.
  [[nodiscard]] TupleFind best_variant(Arithmetic arithmetic, int degree);
  /// Where no polynomial reaches.
  [[nodiscard]] TupleFind too_wide(Arithmetic arithmetic) const;
  /// From `start` on up until a degree serves all rows, or down while degrees do.
  [[nodiscard]] TupleFind best_degree(Arithmetic arithmetic, int start);
  [[nodiscard]] bool better(const Candidate& a, const Candidate& b) const noexcept;
  void consider(TupleFind find);
  /// Why no polynomial is considered without being asked for; empty: one is.
  [[nodiscard]] std::string why_not_polynomial() const;
  void explain();
  /// What carrying out the chosen candidate takes.
  void settle();
};

}  // namespace polyattn::planning
