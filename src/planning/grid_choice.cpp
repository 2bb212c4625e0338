#include "planning/grid_choice.hpp"

#include "base/error.hpp"
#include "engines/capabilities.hpp"
#include "engines/grid/row_bounds.hpp"
#include "numerics/axis_table.hpp"
#include "planning/chosen.hpp"
#include "planning/cost_model.hpp"
#include "planning/glance.hpp"
#include "planning/grid_expectation.hpp"
#include "planning/values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace polyattn::planning {
namespace {

using base::usize;
using engines::grid::GridHead;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Taken before anything else was looked at only if predicted to be so much cheaper than exact, and searched for beside
/// what there is only if so much cheaper than that: near a tie a search can win little and lose all it costs.
constexpr double kClear = 0.6;
constexpr double kCheaper = 0.8;
/// A glance says the least that polynomials might take. With scores beyond this it is far too little, and the search in
/// vain takes longer than a grid.
constexpr double kPolynomialRadius = 6.0;
/// The most that a grid, and finding it, may take of the time of exact to be worth a look.
constexpr double kWorthwhile = 0.5;
/// Where it may be in vain, finding out may take this part; not where so much is to be won.
constexpr double kSearchShare = 0.06;
constexpr double kSureGain = 0.2;
constexpr int kMostTries = 8;

/// Nodes of the sketch put into the geometry of a head whose cells stay as they are.
void set_nodes(const GridSketch& sketch, GridHead& head) {
  const std::size_t first = usize(head.geometry.first_axis());
  for (std::size_t l = 0; l < sketch.axes.size(); ++l) {
    head.geometry.axes[first + l].nodes = sketch.axes[l].nodes;
  }
}

/// One node more on an axis of fewest; false if all have as many as there are tables for.
bool strengthen(GridSketch& sketch) {
  engines::grid::AxisChoice* fewest = nullptr;
  for (engines::grid::AxisChoice& axis : sketch.axes) {
    if (axis.nodes > 1 && (fewest == nullptr || axis.nodes < fewest->nodes)) {
      fewest = &axis;
    }
  }
  if (fewest == nullptr || fewest->nodes >= numerics::kMostNodes) {
    return false;
  }
  ++fewest->nodes;
  return true;
}

double bytes_of(const engines::HeadProblem& problem, const GridChoice& choice) noexcept {
  const engines::grid::GridHead& head = choice.head;
  double size = 8.0 * static_cast<double>(problem.value_dim() + 1);
  for (const engines::grid::Axis& axis : head.geometry.axes) {
    size *= axis.nodes;
  }
  double cells = 2.0 * static_cast<double>(head.keys.cells());
  for (const engines::grid::PassCells& pass : head.passes) {
    cells = std::max(cells, 2.0 * static_cast<double>(pass.targets.size()));
  }
  const double records = static_cast<double>(problem.n_q() + problem.n_kv()) *
                         static_cast<double>(problem.dim() + 2 * problem.value_dim() + 4) * 8.0;
  return records + cells * size;
}

/// The fewest nodes whose rows left to exact do not cost more than a further node; none where even they take as long as
/// what there is already.
void settle_nodes(const engines::HeadProblem& problem, const base::Context& context, const GridTry& known,
                  double tolerance, GridChoice& choice) {
  GridSketch best = choice.sketch;
  double best_seconds = kInfinity;
  const engines::grid::Field sums =
      engines::grid::estimate_rows(choice.head.masses, choice.head.passes, choice.head.geometry, context);
  for (int i = 0; i < kMostTries; ++i) {
    set_nodes(choice.sketch, choice.head);
    choice.charges = engines::grid::charge_head(choice.head, context);
    const ExpectedRows expected = expect_rows(choice.head, choice.charges, sums, tolerance);
    choice.sketch.seconds = known.slowness * grid_seconds(problem, choice.sketch);
    const double seconds = choice.sketch.seconds + expected.share * known.exact_seconds;
    const bool better = seconds < best_seconds;
    if (better) {
      best = choice.sketch;
      best_seconds = seconds;
      choice.share = expected.share;
      choice.bound = expected.bound;
    }
    // A node more makes it a quarter dearer or so.
    if (!better || choice.sketch.seconds >= known.limit ||
        expected.share * known.exact_seconds < 0.1 * choice.sketch.seconds || !strengthen(choice.sketch)) {
      if (better) {
        return;
      }
      break;
    }
  }
  choice.sketch = best;
  set_nodes(choice.sketch, choice.head);
  choice.charges = engines::grid::charge_head(choice.head, context);
}

std::shared_ptr<GridChoice> make_choice(const engines::HeadProblem& problem, const base::Context& context,
                                        const GridTry& known, double tolerance) {
  auto choice = std::make_shared<GridChoice>();
  choice->values = *known.values;
  choice->sketch = *known.sketch;
  engines::grid::Geometry geometry;
  if (!engines::grid::make_geometry(problem, *known.extents, choice->sketch.scaled, choice->sketch.axes,
                                    choice->sketch.sub_bins, geometry)) {
    return nullptr;
  }
  choice->head = engines::grid::make_head(problem, std::move(geometry),
                                          {known.values->low, known.values->centre, known.values->high}, context);
  if (problem.mask.exclude_self && choice->head.asked) {
    return nullptr;
  }
  settle_nodes(problem, context, known, tolerance, *choice);
  return choice;
}

/// Nothing where cells, tensors and records would not fit: what does, exact at the least, is taken instead.
std::shared_ptr<GridChoice> choice_within_memory(const engines::HeadProblem& problem, const base::Context& context,
                                                 const GridTry& known, double tolerance, bool forced) {
  try {
    std::shared_ptr<GridChoice> choice = make_choice(problem, context, known, tolerance);
    const bool fits = choice == nullptr || context.memory == nullptr ||
                      bytes_of(problem, *choice) <= static_cast<double>(context.memory->limit());
    return fits || forced ? choice : nullptr;
  } catch (const Error& error) {
    if (forced || error.code() != ErrorCode::out_of_memory) {
      throw;
    }
    return nullptr;
  }
}

void adopt(const engines::HeadProblem& problem, const base::Context& context, std::shared_ptr<GridChoice> choice,
           double exact_seconds, bool forced, HeadDecision& decision) {
  Candidate candidate;
  candidate.engine = Engine::grid;
  candidate.arithmetic = Arithmetic::float64;
  const double threads = std::max(1, context.threads);
  candidate.seconds = (choice->sketch.seconds + choice->share * exact_seconds) / threads;
  candidate.bytes = bytes_of(problem, *choice);
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
  return forced ||
         cost.slowness() * (least_grid_seconds(problem) + grid_search_seconds(problem, 0.0)) < kWorthwhile * exact;
}

namespace {

/// Whether a grid that takes at least `least` seconds, finding it included, is worth that search beside something that
/// takes `other` seconds; `saved` is what need not be searched for if a grid is found.
bool affordable(double least, double search, double other, double saved) noexcept {
  return least < kSureGain * other || (least < kWorthwhile * other && search < std::max(kSearchShare * other, saved));
}

/// The same beside exact. Where polynomials would be searched for next, a grid that is found saves that.
bool affordable(double least, double search, const Glance& seen) noexcept {
  return affordable(least, search, seen.exact_seconds, seen.worth ? seen.search_seconds : 0.0);
}

/// Whether to look for a grid before anything else: not where polynomials are likely to be cheaper than any grid.
bool worth_a_look(const engines::HeadProblem& problem, const Request& request, GridTry& known) {
  const CostModel cost(request.calibration, 1);
  known.seen = glance(problem, request, cost, static_cast<double>(problem.n_q()), score_pairs(problem));
  const double search = cost.slowness() * grid_search_seconds(problem, known.seen->radius);
  const double least = cost.slowness() * least_grid_seconds(problem) + search;
  const bool polynomial = known.seen->worth && known.seen->degree >= 0 && known.seen->radius <= kPolynomialRadius;
  return affordable(least, search, *known.seen) &&
         !(polynomial && known.seen->seconds + known.seen->search_seconds < least);
}

/// What a search takes: the extents, once they are known, say how long sketches do.
double search_seconds(const engines::HeadProblem& problem, const GridTry& known) {
  double radius = known.seen ? known.seen->radius : 0.0;
  if (known.extents) {
    double widest = 0.0;
    for (const engines::grid::ScaledAxis& axis : engines::grid::scale_axes(problem, *known.extents, 1.0)) {
      widest = std::max(widest, axis.extent());
    }
    radius = 0.5 * widest * widest;
  }
  return known.slowness * grid_search_seconds(problem, radius);
}

/// The same as worth_a_look once the extents are known.
bool worth_a_sketch(const engines::HeadProblem& problem, const GridTry& known) {
  const double search = search_seconds(problem, known);
  return affordable(known.slowness * least_grid_seconds(problem) + search, search, *known.seen);
}

/// Whether to look for a grid beside what was decided, which takes `other` seconds of one thread.
bool worth_another_look(const engines::HeadProblem& problem, const GridTry& known, double other) {
  const double search = search_seconds(problem, known);
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

}  // namespace

bool try_grid(const engines::HeadProblem& problem, const Request& request, const base::Context& context, bool first,
              GridTry& known, HeadDecision& decision) {
  const bool forced = request.engine == Engine::grid;
  const double threads = std::max(1, context.threads);
  known.slowness = CostModel(request.calibration, 1).slowness();
  if (!forced && (first ? !worth_a_look(problem, request, known)
                        : !worth_another_look(problem, known, decision.plan.predicted_seconds * threads))) {
    return false;
  }
  if (!known.extents) {
    look(problem, request, context, known);
  }
  if (!forced && first && !worth_a_sketch(problem, known)) {
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
    if (!known.sketch) {
      return false;
    }
    known.sketch->seconds *= known.slowness;
  }
  const double seconds = known.sketch->seconds;
  known.limit = forced ? kInfinity : first ? known.exact_seconds : decision.plan.predicted_seconds * threads;
  if (!forced && first) {
    if (seconds > kClear * known.exact_seconds) {
      return false;
    }
    const Glance& seen = *known.seen;
    if (seen.worth && seen.degree >= 0 && seen.radius <= kPolynomialRadius &&
        seen.seconds + seen.search_seconds < seconds) {
      return false;
    }
  }
  if (!forced && seconds >= kCheaper * known.limit) {
    return false;
  }
  std::shared_ptr<GridChoice> choice =
      choice_within_memory(problem, context, known, range > 0.0 ? tolerance : kInfinity, forced);
  if (choice == nullptr) {
    return false;
  }
  const double all = choice->sketch.seconds + choice->share * known.exact_seconds;
  if (all >= known.limit) {
    return false;
  }
  adopt(problem, context, std::move(choice), known.exact_seconds, forced, decision);
  decision.plan.tolerance = tolerance;
  return true;
}

}  // namespace polyattn::planning
