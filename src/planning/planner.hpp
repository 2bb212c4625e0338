#pragma once

/// The state of one planning run, which decide.cpp steers. Private to planning.

#include "planning/cost_model.hpp"
#include "planning/decide.hpp"
#include "planning/glance.hpp"
#include "planning/pilot.hpp"
#include "planning/predict.hpp"
#include "planning/reach.hpp"

#include <algorithm>
#include <memory>
#include <optional>
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
  std::shared_ptr<engines::Frame> apart{};  ///< with keys set apart, where that is part of it
};

inline constexpr double kMaxRadius = 300.0;  ///< of scores, that a polynomial is made for

/// What planning measures of a head whatever the tolerance is.
struct HeadFacts {
  engines::QueryExtent extent;
  engines::Frame frame;
  engines::ValueRange values;
  engines::KeyExtent keys;             ///< of the frame, before any key was left out
  std::vector<std::int64_t> far_keys;  ///< likewise
  std::optional<engines::KeyShells> shells{};
  std::optional<Sample> sample{};  ///< for all keys and all rows
  std::optional<Pilot> pilot{};
  bool kept = false;  ///< for another tolerance

  /// Takes back what planning left out of the frame.
  void restore();
};
/// Features in layers, where that may pay (layer_search.cpp): changes `decision` where they are cheaper. `facts` are
/// those the decision was made from, if any were measured; what was settled of them is read from the decision. With
/// `settle` they may be used up.
void try_layers(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                std::optional<HeadFacts>& facts, bool settle, HeadDecision& decision);
HeadFacts look(const engines::HeadProblem& problem, const base::Context& context, const Domain* domain);

/// Members that find polynomials are in polynomial_candidates.cpp, those for a sampled guarantee in
/// sampled_candidates.cpp, exact's in exact_candidates.cpp, the others in planner.cpp.
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
  engines::KeyShells shells{};              ///< once they were looked at
  std::vector<Find> found{};                ///< the best of each arithmetic
  HeadFacts* known = nullptr;               ///< once they were measured
  SampledChoice sampled{};                  ///< if candidates for a sampled guarantee were found
  std::shared_ptr<engines::Frame> apart{};  ///< the frame being tried, where keys were set apart

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
  /// Predicted, of the cheapest that was found.
  [[nodiscard]] double least_seconds() const noexcept;
  /// Keys left out and shares of the rows.
  void reach_candidates(engines::Frame& frame, const engines::ValueRange& values, const engines::QueryExtent& extent);
  /// Frames with a few keys set apart, where some lie far out.
  void outlying_candidates(const engines::ValueRange& values, const engines::QueryExtent& extent);
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
  /// Measured once for all tolerances.
  engines::KeyShells measured_shells(const engines::Frame& frame);
  Sample drawn_sample(const engines::Frame& frame, const engines::ValueRange& values, const Reach& reach);
  void sampled_candidates();
  void settle_sampled(PolynomialChoice& choice);
  void weigh();
  void explain();
  /// How many keys the chosen candidate sums exactly, in words; nothing if none.
  [[nodiscard]] std::string outlying_note() const;
  void choose();
  void spread_over_threads() noexcept;
};

/// The planner of a head before anything was measured.
Planner make_planner(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                     const Domain* domain);

/// The choice among exact and polynomials of one centre. `facts` are measured if they are needed and not there; with
/// `settle`, they are used up by the decision. `glanced`: a glance that was taken already.
HeadDecision decide_with(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                         const Domain* domain, std::optional<HeadFacts>& facts, bool settle,
                         const std::optional<Glance>& glanced = {});

}  // namespace polyattn::planning
