#include "planning/grid_choice.hpp"

#include "base/error.hpp"
#include "engines/capabilities.hpp"
#include "planning/chosen.hpp"
#include "planning/cost_model.hpp"
#include "planning/glance.hpp"
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
/// Taken before anything else was looked at only if predicted to be so much cheaper than exact, and searched for beside
/// what there is only if so much cheaper than that: near a tie a search can win little and lose all it costs.
constexpr double kClear = 0.68;
constexpr double kCheaper = 0.8;
/// The same of a sketch, which has been paid for, where a grid is sure to serve.
constexpr double kSketched = 0.9;
/// A glance says the least that polynomials might take. With scores beyond this it is far too little, and the search in
/// vain takes longer than a grid.
constexpr double kPolynomialRadius = 6.0;
/// The most that a grid, and finding it, may take of the time of exact to be worth a look.
constexpr double kWorthwhile = 0.5;
/// Where it may be in vain, finding out may take this part; not where so much is to be won, nor where scores are so
/// small that a grid is sure to serve.
constexpr double kSearchShare = 0.06;
constexpr double kSureGain = 0.2;
constexpr double kSureRadius = 4.0;
constexpr double kSureFlatRadius = 100.0;  ///< the same in one or two dimensions
/// Gaussian scores do not leave rows over; what may be in vain is a search where cells are not fewer than points.
constexpr double kSureCells = 0.25;
/// What polynomials take beside what a glance says: of their search this part, from this degree on so many times as
/// long.
constexpr double kPolynomialSearch = 0.75;
constexpr int kHighDegree = 4;
constexpr double kHighDegreeFactor = 2.0;

/// Decimal digits asked for, about: how many numbers of nodes a sketch tries.
constexpr double kFewDigits = 1.0;
constexpr double kManyDigits = 6.0;
double digits_of(const Request& request) noexcept {
  const bool share = request.tolerance.kind == ToleranceKind::of_value_range;
  return share ? std::clamp(-std::log10(request.tolerance.value), kFewDigits, kManyDigits) : 4.0;
}

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

bool may_try_grid(const engines::HeadProblem& problem, const Request& request) {
  if (request.arithmetic == Arithmetic::float32 || request.degree) {
    return false;  // the grid works in float64 and has no degree
  }
  const bool forced = request.engine == Engine::grid;
  if ((!forced && request.engine != Engine::automatic) || !(request.tolerance.value > 0.0) ||
      request.guarantee != Guarantee::certified || request.want_row_max || problem.non_finite == NonFinite::propagate ||
      !engines::supports_grid(problem) || problem.n_q() == 0 || problem.n_kv() == 0) {
    return false;
  }
  const CostModel cost(request.calibration, 1);
  const double exact = cost.exact_seconds(problem, score_pairs(problem), Arithmetic::float64);
  return forced || cost.slowness() * (least_grid_seconds(problem) + grid_search_seconds(problem, 0.0, kFewDigits)) <
                       kWorthwhile * exact;
}

namespace {

/// Whether a grid that takes at least `least` seconds, finding it included, is worth that search beside something that
/// takes `other` seconds; `saved` is what need not be searched for if a grid is found.
bool affordable(double least, double search, double other, double saved) noexcept {
  return least < kSureGain * other || (least < kWorthwhile * other && search < std::max(kSearchShare * other, saved));
}

/// A grid is sure to serve every row.
bool sure(const engines::HeadProblem& problem, const GridTry& known) noexcept {
  const double radius = known.seen ? known.seen->radius : 0.0;
  if (problem.score.kind == engines::ScoreKind::gaussian && radius > kSureRadius && problem.dim() <= 2) {
    const double cells = std::pow(2.0 * radius, 0.5 * static_cast<double>(problem.dim()));  // as long as a bandwidth
    return cells < kSureCells * static_cast<double>(problem.n_q() + problem.n_kv());
  }
  return radius > 0.0 && radius <= (problem.dim() <= 2 ? kSureFlatRadius : kSureRadius);
}

/// The same beside exact. Where polynomials would be searched for next, a grid that is found saves that.
bool affordable(const engines::HeadProblem& problem, const GridTry& known, double least, double search) noexcept {
  const Glance& seen = *known.seen;
  if (sure(problem, known)) {
    return least < kClear * seen.exact_seconds;
  }
  return affordable(least, search, seen.exact_seconds, seen.worth ? seen.search_seconds : 0.0);
}

/// Polynomials, search included, are likely to take less than `seconds`.
bool polynomials_take_less(const Glance& seen, double seconds) noexcept {
  const double times = seen.degree >= kHighDegree ? kHighDegreeFactor : 1.0;
  return seen.worth && seen.degree >= 0 && seen.radius <= kPolynomialRadius &&
         times * seen.seconds + kPolynomialSearch * seen.search_seconds < seconds;
}

/// Whether to look for a grid before anything else: not where polynomials are likely to be cheaper than any grid.
bool worth_a_look(const engines::HeadProblem& problem, const Request& request, GridTry& known) {
  const CostModel cost(request.calibration, 1);
  known.seen = glance(problem, request, cost, static_cast<double>(problem.n_q()), score_pairs(problem));
  const double search = cost.slowness() * grid_search_seconds(problem, known.seen->radius, digits_of(request));
  const double least = cost.slowness() * least_grid_seconds(problem) + search;
  return affordable(problem, known, least, search) && !polynomials_take_less(*known.seen, least);
}

/// What a search takes: the extents, once they are known, say how long sketches do.
double search_seconds(const engines::HeadProblem& problem, const Request& request, const GridTry& known) {
  double radius = known.seen ? known.seen->radius : 0.0;
  if (known.extents) {
    double widest = 0.0;
    for (const engines::grid::ScaledAxis& axis : engines::grid::scale_axes(problem, *known.extents, 1.0)) {
      widest = std::max(widest, axis.extent());
    }
    radius = 0.5 * widest * widest;
  }
  return known.slowness * grid_search_seconds(problem, radius, digits_of(request));
}

/// The same as worth_a_look once the extents are known.
bool worth_a_sketch(const engines::HeadProblem& problem, const Request& request, const GridTry& known) {
  const double search = search_seconds(problem, request, known);
  return affordable(problem, known, known.slowness * least_grid_seconds(problem) + search, search);
}

/// Whether to look for a grid beside what was decided, which takes `other` seconds of one thread.
bool worth_another_look(const engines::HeadProblem& problem, const Request& request, const GridTry& known,
                        double other) {
  const double search = search_seconds(problem, request, known);
  return affordable(known.slowness * least_grid_seconds(problem) + search, search, other, 0.0);
}

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
  const double limit = (first ? kClear : 1.0) * known.limit;
  look_at_near(problem, request, context, tolerance, std::min(seconds, kClear * known.limit), known);
  if (sum_directly(problem, request, context, tolerance, std::min(seconds, limit), known, decision)) {
    return true;
  }
  if (!known.sketch) {
    return false;
  }
  const double share = !first ? kCheaper : sure(problem, known) ? kSketched : kClear;
  if (!forced && (seconds >= share * known.limit || (first && polynomials_take_less(*known.seen, seconds)))) {
    return false;
  }
  const double allowed = range > 0.0 ? tolerance : kInfinity;
  const bool weighted = problem.score.kind == engines::ScoreKind::dot;
  std::shared_ptr<GridChoice> choice;
  if (forced || !weighted || sure(problem, known) || !leaves_too_many(problem, request, context, known, allowed)) {
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
