#include "planning/grid_choice.hpp"

#include "base/error.hpp"
#include "engines/capabilities.hpp"
#include "engines/grid/row_bounds.hpp"
#include "engines/grid/row_math.hpp"
#include "numerics/axis_table.hpp"
#include "planning/chosen.hpp"
#include "planning/cost_model.hpp"
#include "planning/glance.hpp"
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
/// Taken before anything else was looked at only if predicted to be so much cheaper than exact.
constexpr double kClear = 0.3;
/// A glance says the least that polynomials might take. With scores beyond this it is far too little, and the search in
/// vain takes longer than a grid.
constexpr double kPolynomialRadius = 6.0;
/// Extents and a sketch cost a pass over Q and K: not where exact takes less than this.
constexpr double kWorthwhile = 1e-3;
constexpr int kMostTries = 8;
/// Sums differ within a part of a cell: rows are expected to be certified up to this share of the tolerance.
constexpr double kPartMargin = 0.8;

/// What is expected of the rows, by the parts of the cells they are in.
struct Expected {
  double share = 0.0;  ///< of the rows that will not be certified
  double bound = 0.0;  ///< largest of the others
};

/// Rows of a cell are taken to be spread evenly over its parts that they are in at all.
Expected expect(const engines::HeadProblem& problem, const GridChoice& choice, const base::Context& context,
                double tolerance) {
  namespace grid = engines::grid;
  const GridHead& head = choice.head;
  const std::int64_t columns = problem.value_dim();
  const engines::grid::Field sums = grid::estimate_rows(head.masses, head.passes, head.geometry, context);
  const std::vector<std::int32_t> target = grid::find_targets(head.queries().ids, head.passes.back().targets);
  const std::int64_t parts = sums.size() / sums.channels;
  const std::vector<double> reach(usize(1 + columns), 0.0);  // rounding is looked at when rows are certified
  const grid::RowRules rules{head.knots, 0.0, head.range, head.largest_value, head.geometry.weight_error, false};
  std::vector<double> result(usize((columns + 2) * parts));
  Expected out;
  double missing = 0.0;
  for (std::size_t cell = 0; cell < target.size(); ++cell) {
    const auto rows = static_cast<double>(head.queries().starts[cell + 1] - head.queries().starts[cell]);
    if (target[cell] < 0) {
      missing += rows;
      continue;
    }
    const double unit = sums.exponents.empty() ? 0.0 : static_cast<double>(sums.exponents[usize(target[cell])]);
    const grid::RowBatch batch{sums.tensor(target[cell]),
                               choice.charges.charges.tensor(target[cell]),
                               nullptr,
                               reach.data(),
                               unit,
                               choice.charges.outside.in(unit),
                               parts,
                               parts};
    grid::certify_batch(rules, batch, result.data(), columns + 2);
    double real = 0.0;  // padding has no mass
    double failing = 0.0;
    for (std::int64_t part = 0; part < parts; ++part) {
      const double bound = result[usize(part * (columns + 2) + columns)];
      const bool padding = sums.tensor(target[cell])[part] == 0.0;
      real += padding ? 0.0 : 1.0;
      if (!padding && !(bound <= kPartMargin * tolerance)) {
        failing += 1.0;
      } else if (!padding) {
        out.bound = std::max(out.bound, bound);
      }
    }
    missing += real > 0.0 ? rows * failing / real : rows;
  }
  out.share = missing / static_cast<double>(std::max<std::int64_t>(problem.n_q(), 1));
  return out;
}

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

/// The fewest nodes whose rows left to exact do not cost more than a further node.
void settle_nodes(const engines::HeadProblem& problem, const base::Context& context, double exact_seconds,
                  double tolerance, GridChoice& choice) {
  GridSketch best = choice.sketch;
  double best_seconds = kInfinity;
  for (int i = 0; i < kMostTries; ++i) {
    set_nodes(choice.sketch, choice.head);
    choice.charges = engines::grid::charge_head(choice.head, context);
    const Expected expected = expect(problem, choice, context, tolerance);
    choice.sketch.seconds = grid_seconds(problem, choice.sketch);
    const double seconds = choice.sketch.seconds + expected.share * exact_seconds;
    const bool better = seconds < best_seconds;
    if (better) {
      best = choice.sketch;
      best_seconds = seconds;
      choice.share = expected.share;
      choice.bound = expected.bound;
    }
    // A node more makes it a quarter dearer or so.
    if (!better || expected.share * exact_seconds < 0.1 * choice.sketch.seconds || !strengthen(choice.sketch)) {
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
  settle_nodes(problem, context, known.exact_seconds, tolerance, *choice);
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
  decision.plan.tolerance = 0.0;
  decision.plan.statistics.value_range = choice->head.range;
  decision.plan.statistics.visible_keys = choice->head.visible;
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
  return forced || (exact > kWorthwhile && least_grid_seconds(problem) < exact);
}

bool try_grid(const engines::HeadProblem& problem, const Request& request, const base::Context& context, bool first,
              GridTry& known, HeadDecision& decision) {
  const bool forced = request.engine == Engine::grid;
  const CostModel cost(request.calibration, 1);
  const double pairs = score_pairs(problem);
  const double threads = std::max(1, context.threads);
  if (!known.extents) {
    known.extents = engines::grid::measure_extents(problem, context);
    known.values = value_range(problem, nullptr, 0.0, context);
    const Arithmetic arithmetic = request.arithmetic == Arithmetic::float64 ? Arithmetic::float64 : Arithmetic::float32;
    known.exact_seconds = cost.exact_seconds(problem, pairs, arithmetic);
  }
  const double range = known.values->range();
  const double tolerance = absolute_tolerance(request.tolerance, range);
  if (!forced && problem.value_dim() > 0 && !(tolerance > 0.0)) {  // a range of 0 asks for exact answers
    return false;
  }
  // Without values, or if they do not vary, denominators are all there is to approximate.
  const double asked = std::min(request.lse_tolerance.value_or(kInfinity), request.density_share.value_or(kInfinity));
  const double error =
      std::min({range > 0.0 ? 0.8 * tolerance / (kGridDistance * range) : kInfinity, 0.5 * asked, 0.1});
  if (!known.sketch) {
    known.sketch = sketch_grid(problem, *known.extents, error);
  }
  if (!known.sketch) {
    return false;
  }
  const double seconds = known.sketch->seconds;
  if (!forced && first) {
    if (seconds > kClear * known.exact_seconds) {
      return false;
    }
    const Glance seen = glance(problem, request, cost, static_cast<double>(problem.n_q()), pairs);
    if (seen.worth && seen.degree >= 0 && seen.radius <= kPolynomialRadius &&
        seen.seconds + seen.search_seconds < seconds) {
      return false;
    }
  }
  if (!forced && !first && seconds >= decision.plan.predicted_seconds * threads) {
    return false;
  }
  std::shared_ptr<GridChoice> choice =
      choice_within_memory(problem, context, known, range > 0.0 ? tolerance : kInfinity, forced);
  if (choice == nullptr) {
    return false;
  }
  const double all = choice->sketch.seconds + choice->share * known.exact_seconds;
  if (!forced && all >= (first ? known.exact_seconds : decision.plan.predicted_seconds * threads)) {
    return false;
  }
  adopt(problem, context, std::move(choice), known.exact_seconds, forced, decision);
  decision.plan.tolerance = absolute_tolerance(request.tolerance, range);
  return true;
}

}  // namespace polyattn::planning
