#include "planning/near_choice.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "engines/exact/exact.hpp"
#include "planning/chosen.hpp"
#include "planning/cost_model.hpp"
#include "planning/values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace polyattn::planning {
namespace {

using engines::HeadProblem;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Part of a tolerance that keys left out may take.
constexpr double kShare = 0.2;
/// Fewer keys are not worth an order.
constexpr std::int64_t kLeastKeys = 4096;
/// Rows left over that are: ordering keys takes as long as so many rows against all of them.
constexpr std::int64_t kLeastRest = 4096;
/// Share of the keys that such rows are taken to need.
constexpr double kRestShare = 0.1;
/// Tiles of rows that a sample sums, and of how many one at most.
constexpr std::int64_t kSampled = 24;
constexpr std::int64_t kLeastStep = 16;
/// What float32 certifies, about, of the range of the values and of their largest.
constexpr double kRange32 = 5e-5;
constexpr double kLargest32 = 3e-5;

// Seconds on the core that the other engines' costs are of (grid_sketch.cpp says how they were measured).
constexpr double kOrdered = 1.2e-8;  ///< of a point and each halving of its set
constexpr double kPlaced = 6e-8;     ///< of a point: into its place, packed, written
constexpr double kLooked = 1.2e-9;   ///< of a block of keys looked at for a tile
constexpr double kDirect = 1.15;     ///< of a pair, over one of exact

double halvings(std::int64_t points, std::int64_t leaf) noexcept {
  return std::max(1.0, std::log2(static_cast<double>(points) / static_cast<double>(leaf)));
}

/// Of ordering, and looking at every block for each tile.
double fixed_seconds(const HeadProblem& problem) noexcept {
  const auto queries = static_cast<double>(problem.n_q());
  const auto keys = static_cast<double>(problem.n_kv());
  return kOrdered *
             (queries * halvings(problem.n_q(), simd::kTile) + keys * halvings(problem.n_kv(), simd::kKeyBlock)) +
         kPlaced * (queries + keys) + kLooked * queries / simd::kTile * keys / simd::kKeyBlock;
}

/// About the least share of the keys that is near a tile of rows, were all spread evenly; what is not, has more
/// neighbours. Tiles and blocks are boxes, met where they come within reach of each other.
double least_share(const HeadProblem& problem, const std::vector<double>& extents) noexcept {
  const double axes = static_cast<double>(std::max<std::size_t>(extents.size(), 1));
  const auto side = [&](std::int64_t part, std::int64_t points) {
    return std::pow(std::min(1.0, static_cast<double>(part) / static_cast<double>(points)), 1.0 / axes);
  };
  const double boxes = 0.5 * (side(simd::kTile, problem.n_q()) + side(simd::kKeyBlock, problem.n_kv()));
  double share = 1.0;
  for (std::size_t l = 0; l < extents.size(); ++l) {
    const double reach = 7.0 * problem.score.bandwidth[l];
    share *= extents[l] > 0.0 ? std::min(1.0, reach / extents[l] + boxes) : 1.0;
  }
  return share;
}

/// Sums a few tiles to see how many blocks they need.
void sample(const HeadProblem& problem, const base::Context& context, NearChoice& choice) {
  const std::int64_t tiles = choice.tiles.boxes.count;
  const std::int64_t step = std::max(kLeastStep, tiles / kSampled);
  const std::int64_t first = std::min(step, tiles) / 2;
  const base::Context quiet{context.threads, context.memory, nullptr};
  std::int64_t looked = 0;
  if (choice.arithmetic == Arithmetic::float32) {
    looked =
        engines::near_rows(problem, choice.keys, *choice.packed32, choice.tiles, choice.goal, first, step, {}, quiet);
  } else {
    looked =
        engines::near_rows(problem, choice.keys, *choice.packed64, choice.tiles, choice.goal, first, step, {}, quiet);
  }
  const auto sampled = static_cast<double>(base::blocks_of(tiles - first, step));
  choice.share = static_cast<double>(looked) / (sampled * static_cast<double>(choice.keys.blocks()));
}

}  // namespace

Arithmetic first_arithmetic(const Request& request, const engines::ValueRange& values, double tolerance) noexcept {
  double largest = 0.0;
  for (std::size_t c = 0; c < values.low.size(); ++c) {
    largest = std::max({largest, std::fabs(values.low[c]), std::fabs(values.high[c])});
  }
  const bool values_fit =
      values.range() == 0.0 || !(tolerance > 0.0) || tolerance >= kRange32 * values.range() + kLargest32 * largest;
  const double asked = std::min(request.lse_tolerance.value_or(kInfinity), request.density_share.value_or(kInfinity));
  return request.arithmetic != Arithmetic::float64 && values_fit && asked >= 2.0 * kRange32 ? Arithmetic::float32
                                                                                            : Arithmetic::float64;
}

void pack_choice(const HeadProblem& problem, const base::Context& context, NearChoice& choice) {
  if (choice.arithmetic == Arithmetic::float32) {
    choice.packed32 =
        std::make_shared<const engines::PackedKeys<float>>(engines::pack_near<float>(problem, choice.keys, context));
  } else {
    choice.packed64 =
        std::make_shared<const engines::PackedKeys<double>>(engines::pack_near<double>(problem, choice.keys, context));
  }
}

engines::NearGoal near_goal(const Request& request, double tolerance, double range) noexcept {
  engines::NearGoal goal;
  if (range > 0.0 && tolerance > 0.0) {
    goal.ratio = std::min(1.0, kShare * tolerance / range);
  }
  if (request.lse_tolerance) {
    goal.ratio = std::min(goal.ratio, kShare * *request.lse_tolerance);
  }
  if (request.density_tolerance && request.density_absolute) {
    goal.mass = kShare * *request.density_tolerance;
    goal.ratio = std::min(goal.ratio, engines::kAnyRatio);
  } else if (request.density_tolerance) {
    goal.ratio = std::min(goal.ratio, kShare * *request.density_tolerance);
  }
  return goal;
}

std::shared_ptr<const NearChoice> try_near(const HeadProblem& problem, const Request& request,
                                           const base::Context& context, const engines::ValueRange& values,
                                           const std::vector<double>& extents, double tolerance, double limit) {
  const engines::NearGoal goal = near_goal(request, tolerance, values.range());
  if (!engines::supports_near(problem) || problem.n_kv() < kLeastKeys || problem.n_q() < simd::kTile ||
      !goal.limits()) {
    return nullptr;
  }
  auto choice = std::make_shared<NearChoice>();
  choice->arithmetic = first_arithmetic(request, values, tolerance);
  const CostModel cost(request.calibration, 1);
  const double pairs = static_cast<double>(problem.n_q()) * static_cast<double>(problem.n_kv());
  const double direct = kDirect * cost.exact_seconds(problem, pairs, choice->arithmetic);
  const double fixed = cost.slowness() * fixed_seconds(problem);
  if (!(fixed + least_share(problem, extents) * direct < limit)) {
    return nullptr;
  }
  choice->values = values;
  choice->goal = goal;
  choice->keys = engines::near_keys(problem, values.range(), context);
  choice->tiles = engines::near_tiles(problem, choice->keys, context);
  pack_choice(problem, context, *choice);
  sample(problem, context, *choice);
  choice->seconds = fixed + choice->share * direct;
  return choice;
}

void adopt_near(const HeadProblem& problem, const Request& request, const base::Context& context,
                std::shared_ptr<const NearChoice> choice, double exact_seconds, HeadDecision& decision) {
  const double threads = std::max(1, context.threads);
  Candidate candidate;
  candidate.engine = Engine::grid;
  candidate.arithmetic = choice->arithmetic;
  candidate.seconds = choice->seconds / threads;
  const std::int64_t element = choice->arithmetic == Arithmetic::float32 ? 4 : 8;
  candidate.bytes = static_cast<double>(
      engines::near_bytes(problem.n_q(), problem.n_kv(), problem.dim(), problem.value_dim(), element));
  candidate.rank = 0;
  // What leaving out may take; rounding is looked at when rows are certified.
  candidate.predicted_bound = choice->goal.ratio < 1.0 ? choice->goal.ratio * choice->values.range() : 0.0;
  const auto blocks = static_cast<double>(choice->keys.blocks());
  candidate.reason = "direct sums over some " + std::to_string(std::llround(choice->share * blocks)) + " of " +
                     std::to_string(choice->keys.blocks()) + " blocks of keys for each row";
  const std::string how = candidate.reason;
  choose(decision.plan, std::move(candidate), "the grid", how);
  if (request.engine == Engine::grid) {
    decision.plan.why = "asked for by name";
  }
  decision.plan.exact_seconds =
      decision.plan.exact_seconds > 0.0 ? decision.plan.exact_seconds : exact_seconds / threads;
  decision.plan.statistics.value_range = choice->values.range();
  decision.plan.statistics.visible_keys = choice->keys.order.count();
  decision.polynomial.reset();
  decision.layers.reset();
  decision.groups.clear();
  decision.grid.reset();
  decision.near = std::move(choice);
}

double near_work(const HeadProblem& problem, const NearChoice& choice) noexcept {
  return engines::exact_work(choice.share * static_cast<double>(problem.n_q()) * static_cast<double>(problem.n_kv()),
                             problem.dim(), problem.value_dim());
}

bool near_for_rest(const HeadProblem& problem, const Request& request, std::int64_t rows,
                   const engines::NearGoal& goal) noexcept {
  return rows >= kLeastRest && problem.n_kv() >= kLeastKeys && engines::supports_near(problem) && goal.limits() &&
         !(request.strict && request.engine == Engine::grid);
}

double rest_seconds(const HeadProblem& problem, const Request& request, double rows, const engines::NearGoal& goal,
                    double exact_seconds) noexcept {
  const double exact = exact_seconds * rows / static_cast<double>(problem.n_q());
  if (!near_for_rest(problem, request, static_cast<std::int64_t>(rows), goal)) {
    return exact;
  }
  // How many keys are near is not known here: rows that are left lie apart, as a rule.
  const CostModel cost(request.calibration, 1);
  return cost.slowness() * fixed_seconds(problem) + kRestShare * exact;
}

}  // namespace polyattn::planning
