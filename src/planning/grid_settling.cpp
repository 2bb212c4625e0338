#include "planning/grid_settling.hpp"

#include "base/error.hpp"
#include "engines/grid/row_bounds.hpp"
#include "numerics/axis_table.hpp"
#include "planning/grid_expectation.hpp"
#include "planning/near_choice.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace polyattn::planning {
namespace {

using base::usize;
using engines::grid::GridHead;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kMostTries = 8;
/// A pilot places about so many points, if that is at most one in so many.
constexpr std::int64_t kPilotPoints = 4096;
constexpr std::int64_t kLeastStep = 4;

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

/// What the passes of a head with points in their cells really do.
std::vector<PassWork> count_passes(const GridHead& head) {
  std::vector<PassWork> work;
  for (std::size_t l = usize(head.geometry.first_axis()); l < head.passes.size(); ++l) {
    const engines::grid::Axis& axis = head.geometry.axes[l];
    const std::vector<std::int32_t>& sources = head.passes[l].sources;
    const std::int64_t row = 2 * axis.far_band + 1;
    PassWork pass;
    pass.targets = static_cast<double>(head.passes[l].targets.size());
    for (std::size_t at = 0; at < sources.size(); at += usize(row)) {
      for (std::int64_t o = -axis.far_band; o <= axis.far_band; ++o) {
        const double there = sources[at + usize(o + axis.far_band)] >= 0 ? 1.0 : 0.0;
        pass.far += there;
        pass.near += std::abs(o) <= axis.band ? there : 0.0;
      }
    }
    work.push_back(pass);
  }
  return work;
}

/// The fewest nodes whose rows left to exact do not cost more than a further node; none where even they take as long as
/// what there is already.
void settle_nodes(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                  const GridTry& known, const std::vector<PassWork>& passes, double tolerance, GridChoice& choice) {
  GridSketch best = choice.sketch;
  double best_seconds = kInfinity;
  const engines::NearGoal goal = near_goal(request, tolerance, known.values->range());
  const engines::grid::Field sums =
      engines::grid::estimate_rows(choice.head.masses, choice.head.passes, choice.head.geometry, context);
  for (int i = 0; i < kMostTries; ++i) {
    set_nodes(choice.sketch, choice.head);
    choice.charges = engines::grid::charge_head(choice.head, context);
    const ExpectedRows expected = expect_rows(choice.head, choice.charges, sums, tolerance);
    choice.sketch.seconds = known.slowness * grid_seconds(problem, choice.sketch, passes);
    const double rest =
        rest_seconds(problem, request, expected.share * static_cast<double>(problem.n_q()), goal, known.exact_seconds);
    const double seconds = choice.sketch.seconds + rest;
    const bool better = seconds < best_seconds;
    if (better) {
      best = choice.sketch;
      best_seconds = seconds;
      choice.share = expected.share;
      choice.rest_seconds = rest;
      choice.bound = expected.bound;
    }
    // A node more makes it a quarter dearer or so.
    if (!better || choice.sketch.seconds >= known.limit || rest < 0.1 * choice.sketch.seconds ||
        !strengthen(choice.sketch)) {
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

std::shared_ptr<GridChoice> make_choice(const engines::HeadProblem& problem, const Request& request,
                                        const base::Context& context, const GridTry& known, double tolerance) {
  auto choice = std::make_shared<GridChoice>();
  choice->values = *known.values;
  choice->sketch = *known.sketch;
  engines::grid::Geometry geometry;
  if (!engines::grid::make_geometry(problem, *known.extents, choice->sketch.scaled, choice->sketch.axes,
                                    choice->sketch.sub_bins, geometry)) {
    return nullptr;
  }
  choice->head = engines::grid::place_head(problem, std::move(geometry),
                                           {known.values->low, known.values->centre, known.values->high}, context);
  if (problem.mask.exclude_self && choice->head.asked) {
    return nullptr;
  }
  // Only now is it seen how many cells there are: where points lie apart, far more than points.
  const std::vector<PassWork> passes = count_passes(choice->head);
  choice->sketch.seconds = known.slowness * grid_seconds(problem, choice->sketch, passes);
  if (choice->sketch.seconds >= std::min(known.limit, known.near ? known.near->seconds : kInfinity)) {
    return nullptr;
  }
  engines::grid::weigh_head(problem, context, choice->head);
  settle_nodes(problem, request, context, known, passes, tolerance, *choice);
  return choice;
}

/// Every `step`-th query and key, as they lie in memory; nothing where they lie in several pieces or rows leave out
/// keys by their place.
std::optional<engines::HeadProblem> thinned(const engines::HeadProblem& problem, std::int64_t step) {
  engines::HeadProblem some = problem;
  for (base::Rows* rows : {&some.queries, &some.keys, &some.values, &some.bias.rows}) {
    if (rows->pieces.size() > 1) {
      return std::nullopt;
    }
    if (!rows->pieces.empty()) {
      base::RowPiece& piece = rows->pieces.front();
      piece.count = rows->rows = (rows->rows + step - 1) / step;
      piece.row_stride *= step;
    }
  }
  if (problem.mask.exclude_self || problem.queries.pieces.empty() || problem.keys.pieces.empty()) {
    return std::nullopt;
  }
  some.bias.shared.boolean.key_stride *= step;
  some.bias.shared.additive.key_stride *= step;
  return some;
}

}  // namespace

bool leaves_too_many(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                     const GridTry& known, double tolerance) {
  // Odd, so as not to meet the same columns of an image of 2^k every time.
  const std::int64_t step = (problem.n_q() + problem.n_kv()) / kPilotPoints | 1;
  const std::optional<engines::HeadProblem> some = step < kLeastStep ? std::nullopt : thinned(problem, step);
  if (!some) {
    return false;
  }
  GridTry pilot = known;  // charges and sums both shrink with the number of keys
  pilot.near.reset();
  pilot.exact_seconds = known.exact_seconds / static_cast<double>(step);
  // Nothing where the cells alone cost more than what there is already, or do not fit.
  const std::shared_ptr<GridChoice> choice = settle_grid(*some, request, context, pilot, tolerance);
  if (choice == nullptr || choice->head.keys.points() == 0) {
    return choice == nullptr;
  }
  const double rest = rest_seconds(problem, request, choice->share * static_cast<double>(problem.n_q()),
                                   near_goal(request, tolerance, known.values->range()), known.exact_seconds);
  return known.slowness * grid_seconds(problem, choice->sketch) + rest >= known.limit;
}

double grid_bytes(const engines::HeadProblem& problem, const GridChoice& choice) noexcept {
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

std::shared_ptr<GridChoice> settle_grid(const engines::HeadProblem& problem, const Request& request,
                                        const base::Context& context, const GridTry& known, double tolerance) {
  const bool forced = request.engine == Engine::grid;
  try {
    std::shared_ptr<GridChoice> choice = make_choice(problem, request, context, known, tolerance);
    const bool fits = choice == nullptr || context.memory == nullptr ||
                      grid_bytes(problem, *choice) <= static_cast<double>(context.memory->limit());
    return fits || forced ? choice : nullptr;
  } catch (const Error& error) {
    if (forced || error.code() != ErrorCode::out_of_memory) {
      throw;
    }
    return nullptr;
  }
}

}  // namespace polyattn::planning
