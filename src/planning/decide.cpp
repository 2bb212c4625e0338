// The order in which engines are looked at.

#include "planning/decide.hpp"

#include "planning/chosen.hpp"
#include "planning/grid_choice.hpp"
#include "planning/planner.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

namespace polyattn::planning {

HeadDecision decide_whole(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                          const Domain* domain) {
  std::optional<HeadFacts> facts;
  return decide_with(problem, request, context, domain, facts, true);
}

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Exact, of which nothing was measured; with a grid asked for by name its place is taken by rows that go to exact.
HeadDecision decide_unseen(const engines::HeadProblem& problem, const Request& request, const base::Context& context) {
  Request exact = request;
  exact.engine = Engine::exact;
  Planner planner = make_planner(problem, exact, context, nullptr);
  planner.exact_candidates(nullptr, nullptr, nullptr);
  planner.choose();
  planner.spread_over_threads();
  return std::move(planner.decision);
}

/// The grid's turn after all others: the choice, or a candidate that says why not.
void consider_grid(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                   bool may_try, GridTry& grid, HeadDecision& decision) {
  if (may_try && try_grid(problem, request, context, false, grid, decision)) {
    return;
  }
  Candidate candidate;
  candidate.engine = Engine::grid;
  candidate.arithmetic = Arithmetic::float64;
  candidate.seconds = grid.sketch ? grid.sketch->seconds / std::max(1, context.threads) : kInfinity;
  candidate.predicted_bound = kInfinity;
  candidate.reason = !may_try ? "not for this head and these options" : grid.sketch ? "dearer" : "no grid serves a row";
  decision.plan.candidates.push_back(candidate);
}

/// A grid's decision, for a full report with everything in its plan that a look at the head says of the other engines:
/// the report does not change the choice.
HeadDecision report_fully(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                          HeadDecision chosen) {
  if (!request.full_report || request.engine == Engine::grid) {
    return chosen;
  }
  std::optional<HeadFacts> facts;
  HeadDecision decision = decide_with(problem, request, context, nullptr, facts, false);
  const auto at = std::find_if(chosen.plan.candidates.begin(), chosen.plan.candidates.end(),
                               [](const Candidate& candidate) { return candidate.chosen; });
  choose(decision.plan, *at, "the grid", at->reason);
  decision.polynomial.reset();
  decision.sampled.reset();
  decision.grid = std::move(chosen.grid);
  decision.near = std::move(chosen.near);
  return decision;
}

/// The decision for a head whose queries are known: the grid where it is far cheaper than anything else can be, else
/// polynomials in all their forms, and the grid again beside what they cost. `facts` and `settle` as in decide_with.
HeadDecision decide_known(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                          std::optional<HeadFacts>& facts, bool settle, GridTry& grid) {
  const bool may_try = may_try_grid(problem, request);
  if (may_try || request.engine == Engine::grid) {
    HeadDecision unseen = decide_unseen(problem, request, context);
    if (may_try && try_grid(problem, request, context, true, grid, unseen)) {
      return report_fully(problem, request, context, std::move(unseen));
    }
    if (request.engine == Engine::grid) {
      refuse_grid(problem, unseen.plan);
      return unseen;
    }
  }
  HeadDecision decision = decide_with(problem, request, context, nullptr, facts, settle, grid.seen);
  try_layers(problem, request, context, facts, settle, decision);
  try_query_groups(problem, request, context, decision);
  consider_grid(problem, request, context, may_try, grid, decision);
  return decision;
}

}  // namespace

HeadDecision decide(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                    const Domain* domain) {
  GridTry grid;
  std::optional<HeadFacts> facts;
  if (domain == nullptr) {
    return decide_known(problem, request, context, facts, true, grid);
  }
  HeadDecision decision = decide_with(problem, request, context, domain, facts, true);
  consider_grid(problem, request, context, false, grid, decision);
  return decision;
}

PlanSeries decide_series(const Request& request, std::span<const double> tolerances,
                         const std::function<HeadPlan(const Request&)>& decide) {
  PlanSeries series;
  Request one = request;
  for (const double tolerance : tolerances) {
    one.tolerance.value = tolerance;
    HeadPlan plan;
    bool reachable = true;
    try {
      plan = decide(one);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::not_reachable) {
        throw;
      }
      reachable = false;
      plan.why = error.what();
    }
    series.plans.push_back(std::move(plan));
    series.reachable.push_back(reachable);
  }
  return series;
}

PlanSeries decide_each(const engines::HeadProblem& problem, const Request& request, std::span<const double> tolerances,
                       const base::Context& context) {
  std::optional<HeadFacts> facts;
  GridTry grid;
  return decide_series(request, tolerances, [&](const Request& one) {
    grid.sketch.reset();
    grid.seen.reset();
    return decide_known(problem, one, context, facts, false, grid).plan;
  });
}

}  // namespace polyattn::planning
