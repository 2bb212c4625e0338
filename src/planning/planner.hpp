#pragma once

/// The state of one planning run, which decide.cpp steers. Private to planning.

#include "planning/cost_model.hpp"
#include "planning/decide.hpp"
#include "planning/predict.hpp"
#include "planning/reach.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace polyattn::planning {

/// Arithmetics a request allows, the cheapest first.
std::vector<Arithmetic> arithmetics(const Request& request);

/// A polynomial candidate with what it takes to carry it out.
struct Find {
  Candidate candidate;
  bool spread = false;  ///< with value-weighted second moments
  Reach reach;
  double radius = 0.0;
};

/// Members that find polynomials are in polynomial_candidates.cpp, the others in decide.cpp.
struct Planner {
  const engines::HeadProblem& problem;
  const Request& request;
  const base::Context& context;
  const Domain* domain;
  CostModel cost;  ///< of one thread: the number of threads must not change the choice
  double queries;  ///< rows to plan for
  double pairs;
  bool eligible;           ///< an approximate engine may be chosen without being asked for
  std::string ineligible;  ///< why not
  HeadDecision decision;
  engines::KeyShells shells{};  ///< once they were looked at
  std::vector<Find> found{};    ///< the best of each arithmetic

  [[nodiscard]] HeadPlan& plan() noexcept { return decision.plan; }
  /// Largest radius the polynomials are made for. Prepared keys serve all of their domain.
  [[nodiscard]] double served_radius(const engines::Frame& frame, const Sample& sample) const noexcept {
    return domain != nullptr ? frame.radius : std::min(frame.radius, sample.served_radius);
  }

  void exact_candidates(const engines::Frame* frame, const engines::QueryExtent* extent,
                        const engines::ValueRange* values);
  void refuse_missing_engines();
  void polynomial_candidates(engines::Frame& frame, const engines::ValueRange& values,
                             const engines::QueryExtent& extent);
  void try_reach(engines::Frame& frame, const engines::ValueRange& values, const engines::QueryExtent& extent,
                 const Reach& reach);
  Find polynomial_candidate(const engines::Frame& frame, const engines::ValueRange& values, const Sample& sample,
                            Arithmetic arithmetic);
  [[nodiscard]] bool better(const Candidate& a, const Candidate& b) const noexcept;
  void settle(PolynomialChoice& choice, const engines::QueryExtent& extent);
  Find best_degree(const engines::Frame& frame, const engines::ValueRange& values, const Sample& sample,
                   Arithmetic arithmetic);
  void try_degree(const engines::Frame& frame, const engines::ValueRange& values, const Sample& sample,
                  const ErrorTable& table, bool spread, Find& best);
  void statistics(const engines::QueryExtent& extent, const engines::Frame& frame, const engines::ValueRange& values);
  void choose();
  void spread_over_threads() noexcept;
};

}  // namespace polyattn::planning
