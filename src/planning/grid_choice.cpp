#include "planning/grid_choice.hpp"

#include "base/error.hpp"
#include "engines/capabilities.hpp"
#include "planning/chosen.hpp"
#include "planning/cost_model.hpp"
#include "planning/grid_gates.hpp"
#include "planning/grid_settling.hpp"
#include "planning/near_choice.hpp"
#include "planning/values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace polyattn::planning {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

void adopt(const engines::HeadProblem& problem, const base::Context& context, std::shared_ptr<GridChoice> choice,
           double exact_seconds, bool forced, HeadDecision& decision) {
  Candidate candidate;
  candidate.engine = Engine::grid;
  candidate.arithmetic = Arithmetic::float64;
  const double threads = std::max(1, context.threads);
  candidate.seconds = (choice->sketch.seconds + choice->rest_seconds) / threads;
  candidate.bytes = grid_bytes(problem, *choice);
  candidate.predicted_bound = choice->bound;
  candidate.fallback_share = choice->share;
  candidate.rank = 1;
  std::string nodes;
  for (const engines::grid::AxisChoice& axis : choice->sketch.axes) {
    candidate.rank *= axis.nodes;
    nodes += (nodes.empty() ? "" : " x ") + std::to_string(axis.nodes);
  }
  candidate.reason = nodes + " nodes in each of " + std::to_string(choice->head.keys.cells()) + " cells";
  const std::string how = candidate.reason;
  choose(decision.plan, std::move(candidate), "the grid", how);
  if (forced) {
    decision.plan.why = "asked for by name";
  }
  decision.plan.exact_seconds =
      decision.plan.exact_seconds > 0.0 ? decision.plan.exact_seconds : exact_seconds / threads;
  decision.plan.statistics.value_range = choice->head.range;
  decision.plan.statistics.visible_keys = choice->head.keys.points();
  decision.polynomial.reset();
  decision.layers.reset();
  decision.groups.clear();
  decision.grid = std::move(choice);
}

}  // namespace

void refuse_grid(const engines::HeadProblem& problem, HeadPlan& plan) {
  Candidate grid;
  grid.engine = Engine::grid;
  grid.arithmetic = Arithmetic::float64;
  grid.rank = 0;
  grid.seconds = plan.predicted_seconds;
  grid.bytes = plan.predicted_bytes;
  grid.fallback_share = 1.0;
  grid.reason = problem.n_q() == 0 || problem.n_kv() == 0 ? "nothing to compute"
                                                          : "no grid serves a row of this head: they go to exact";
  const std::string how = grid.reason;
  choose(plan, std::move(grid), "the grid", how);
  plan.why = "asked for by name; " + how;
}

namespace {

/// What the kernel may err by, relative to its sum. Without values, or if they do not vary, denominators are all there
/// is to approximate.
double error_of(const Request& request, double range, double tolerance) noexcept {
  const double asked = std::min(request.lse_tolerance.value_or(kInfinity), request.density_share.value_or(kInfinity));
  return std::min({range > 0.0 ? 0.8 * tolerance / (kGridDistance * range) : kInfinity, 0.5 * asked, 0.1});
}

/// Extents of the points, and what exact takes.
void look(const engines::HeadProblem& problem, const Request& request, const base::Context& context, GridTry& known) {
  const CostModel cost(request.calibration, 1);
  known.extents = engines::grid::measure_extents(problem, context);
  const Arithmetic arithmetic = request.arithmetic == Arithmetic::float64 ? Arithmetic::float64 : Arithmetic::float32;
  known.exact_seconds =
      known.seen ? known.seen->exact_seconds : cost.exact_seconds(problem, score_pairs(problem), arithmetic);
}

/// Direct sums over near keys, if they may take less than `limit`, are looked at.
void look_at_near(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                  double tolerance, double limit, GridTry& known) {
  known.near.reset();
  if (known.extents->visible == 0) {
    return;
  }
  std::vector<double> extents;
  for (std::size_t l = 0; l < known.extents->key_low.size(); ++l) {
    extents.push_back(known.extents->key_high[l] - known.extents->key_low[l]);
  }
  try {
    known.near = try_near(problem, request, context, *known.values, extents, tolerance, limit);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::out_of_memory) {
      throw;
    }
  }
}

/// Makes them the choice if they take less than `limit`.
bool sum_directly(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                  double tolerance, double limit, GridTry& known, HeadDecision& decision) {
  if (known.near == nullptr || !(known.near->seconds < limit)) {
    return false;
  }
  adopt_near(problem, request, context, std::move(known.near), known.exact_seconds, decision);
  decision.plan.tolerance = tolerance;
  return true;
}

}  // namespace

bool try_grid(const engines::HeadProblem& problem, const Request& request, const base::Context& context, bool first,
              GridTry& known, HeadDecision& decision) {
  const bool forced = request.engine == Engine::grid;
  const double threads = std::max(1, context.threads);
  known.slowness = CostModel(request.calibration, 1).slowness();
  if (!forced && (first ? !worth_a_look(problem, request, known)
                        : !worth_another_look(problem, request, known, decision.plan.predicted_seconds * threads))) {
    return false;
  }
  if (!known.extents) {
    look(problem, request, context, known);
  }
  if (!forced && first && !worth_a_sketch(problem, request, known)) {
    return false;
  }
  if (!known.values) {
    known.values = value_range(problem, nullptr, 0.0, context);
  }
  const double range = known.values->range();
  const double tolerance = absolute_tolerance(request.tolerance, range);
  if (!forced && problem.value_dim() > 0 && !(tolerance > 0.0)) {  // a range of 0 asks for exact answers
    return false;
  }
  if (!known.sketch) {
    known.sketch = sketch_grid(problem, *known.extents, error_of(request, range, tolerance));
    if (known.sketch) {
      known.sketch->seconds *= known.slowness;
    }
  }
  const double seconds = known.sketch ? known.sketch->seconds : kInfinity;
  known.limit = forced ? kInfinity : first ? known.exact_seconds : decision.plan.predicted_seconds * threads;
  const double limit = (first ? kClearShare : 1.0) * known.limit;
  look_at_near(problem, request, context, tolerance, std::min(seconds, kClearShare * known.limit), known);
  if (sum_directly(problem, request, context, tolerance, std::min(seconds, limit), known, decision)) {
    return true;
  }
  if (!known.sketch) {
    return false;
  }
  if (!forced && !worth_settling(problem, first, known, seconds)) {
    return false;
  }
  const double allowed = range > 0.0 ? tolerance : kInfinity;
  const bool weighted = problem.score.kind == engines::ScoreKind::dot;
  std::shared_ptr<GridChoice> choice;
  if (forced || !weighted || sure_to_serve(problem, known) ||
      !leaves_too_many(problem, request, context, known, allowed)) {
    choice = settle_grid(problem, request, context, known, allowed);
  }
  if (choice == nullptr) {
    return sum_directly(problem, request, context, tolerance, limit, known, decision);
  }
  const double all = choice->sketch.seconds + choice->rest_seconds;
  if (sum_directly(problem, request, context, tolerance, std::min(all, limit), known, decision)) {
    return true;
  }
  if (all >= known.limit) {
    return false;
  }
  adopt(problem, context, std::move(choice), known.exact_seconds, forced, decision);
  decision.plan.tolerance = tolerance;
  return true;
}

}  // namespace polyattn::planning
