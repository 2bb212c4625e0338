// Queries in groups. A single polynomial serves all rows about one centre, so its radius is that of the farthest row
// times that of the farthest key. A group of rows near each other has a centre of its own: the shift of its queries
// goes into the weights of the keys (docs/theory.md, section 2), its scores are smaller, and in kernel smoothing most
// keys weigh next to nothing for it and are left out. Each group is a head of its own, with moments of its own; nothing
// of the certificate changes. What it costs is the key side once for every group.

#include "base/error.hpp"
#include "planning/chosen.hpp"
#include "planning/cost_model.hpp"
#include "planning/decide.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace polyattn::planning {
namespace {

using base::usize;

/// Not for less than this: seconds of one thread.
constexpr double kWorthwhile = 0.02;
constexpr std::int64_t kFewestRows = 256;  ///< of a group
constexpr std::int64_t kMostGroups = 64;
/// Planning may take this share of what it plans.
constexpr double kPlanningShare = 0.1;
/// Twice as many groups must be this much cheaper.
constexpr double kGain = 0.9;

struct Splitter {
  const double* queries;  ///< [n_q][dim]
  std::int64_t dim;
  std::vector<double> metric;

  [[nodiscard]] double coordinate(std::int64_t row, std::size_t axis) const noexcept {
    return queries[row * dim + static_cast<std::int64_t>(axis)];
  }
  /// The axis along which the rows differ most, in the metric of the scores.
  [[nodiscard]] std::size_t widest_axis(const std::vector<std::int64_t>& rows) const {
    std::size_t widest = 0;
    double most = -1.0;
    for (std::size_t l = 0; l < usize(dim); ++l) {
      double sum = 0.0;
      double square = 0.0;
      for (const std::int64_t row : rows) {
        sum += coordinate(row, l);
        square += coordinate(row, l) * coordinate(row, l);
      }
      const auto count = static_cast<double>(rows.size());
      const double spread = std::fabs(metric[l]) * (square / count - sum / count * sum / count);
      if (spread > most) {
        most = spread;
        widest = l;
      }
    }
    return widest;
  }
  /// Halves of equal size; ties by the row's number.
  [[nodiscard]] std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>> halves(
      std::vector<std::int64_t> rows) const {
    const std::size_t axis = widest_axis(rows);
    const auto middle = rows.begin() + static_cast<std::ptrdiff_t>(rows.size() / 2);
    std::nth_element(rows.begin(), middle, rows.end(), [&](std::int64_t a, std::int64_t b) {
      return std::pair(coordinate(a, axis), a) < std::pair(coordinate(b, axis), b);
    });
    std::vector<std::int64_t> low(rows.begin(), middle);
    std::vector<std::int64_t> high(middle, rows.end());
    std::sort(low.begin(), low.end());
    std::sort(high.begin(), high.end());
    return {std::move(low), std::move(high)};
  }
};

QueryGroup make_group(const engines::HeadProblem& problem, const Splitter& splitter, std::vector<std::int64_t> rows,
                      const base::Context& context) {
  QueryGroup group;
  const auto count = static_cast<std::int64_t>(rows.size());
  auto queries = std::make_shared<base::Buffer<double>>(count * splitter.dim, context.memory);
  for (std::int64_t i = 0; i < count; ++i) {
    std::copy_n(splitter.queries + rows[usize(i)] * splitter.dim, splitter.dim, queries->data() + i * splitter.dim);
  }
  group.problem = problem;
  group.problem.queries.pieces = {{queries->data(), DType::float64, 0, count, splitter.dim, 1}};
  group.problem.queries.rows = count;
  group.queries = std::move(queries);
  group.rows = std::move(rows);
  return group;
}

/// Groups with what was decided for each.
struct Level {
  std::vector<QueryGroup> groups;
  double seconds = 0.0;  ///< predicted, one thread, planning of the groups included
  double bytes = 0.0;
  double bound = 0.0;
  double fallback = 0.0;  ///< rows expected to be left to exact, exact groups included
  HeadPlan largest;       ///< plan of the group of highest rank
};

Level plan_level(const engines::HeadProblem& problem, const Splitter& splitter,
                 std::vector<std::vector<std::int64_t>> parts, const Request& request, double planning_seconds,
                 const base::Context& context) {
  Level level;
  for (std::vector<std::int64_t>& rows : parts) {
    QueryGroup group = make_group(problem, splitter, std::move(rows), context);
    HeadDecision decision = decide_whole(group.problem, request, context, nullptr);
    const HeadPlan& plan = decision.plan;
    level.seconds += plan.predicted_seconds * std::max(1, context.threads) + planning_seconds;
    const auto count = static_cast<double>(group.rows.size());
    level.bytes += count * static_cast<double>(splitter.dim) * 8.0;
    if (plan.engine == Engine::polynomial) {
      group.polynomial = std::move(decision.polynomial);
      level.bound = std::max(level.bound, plan.predicted_bound);
      for (const Candidate& candidate : plan.candidates) {
        level.fallback += candidate.chosen ? candidate.fallback_share * count : 0.0;
      }
      if (plan.rank >= level.largest.rank) {
        level.largest = plan;
      }
    } else {
      level.fallback += count;
    }
    level.groups.push_back(std::move(group));
  }
  level.bytes += level.largest.predicted_bytes;
  return level;
}

void take(Level level, const engines::HeadProblem& problem, const base::Context& context, HeadDecision& decision) {
  const double threads = std::max(1, context.threads);
  HeadPlan& plan = decision.plan;
  Candidate candidate;
  candidate.arithmetic = level.largest.arithmetic;
  candidate.degree = level.largest.degree;
  candidate.rank = level.largest.rank;
  candidate.seconds = level.seconds / threads;
  candidate.bytes = level.bytes;
  candidate.predicted_bound = level.bound;
  candidate.fallback_share = level.fallback / static_cast<double>(problem.n_q());
  const std::string groups = std::to_string(level.groups.size());
  candidate.reason = "queries in " + groups + " groups, each with polynomials of its own, degree up to " +
                     std::to_string(candidate.degree);
  plan.statistics.radius_after = level.largest.statistics.radius_after;
  candidate.engine = Engine::polynomial;
  choose(plan, std::move(candidate), "queries in groups", "queries in " + groups + " groups");
  decision.groups = std::move(level.groups);
  decision.layers = nullptr;
  const auto first = std::find_if(decision.groups.begin(), decision.groups.end(),
                                  [](const QueryGroup& group) { return group.polynomial != nullptr; });
  decision.polynomial = first->polynomial;
}

}  // namespace

void try_query_groups(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                      HeadDecision& decision) {
  const double threads = std::max(1, context.threads);
  double best = decision.plan.predicted_seconds * threads;
  const std::int64_t dim = problem.dim();
  const bool may = request.engine == Engine::automatic && request.guarantee == Guarantee::certified &&
                   !request.degree && !request.want_row_max && problem.non_finite == NonFinite::error &&
                   request.tolerance.value > 0.0 && decision.plan.tolerance > 0.0 && !problem.mask.causal &&
                   !problem.pairs.any() && problem.soft_cap == 0.0 && problem.mask.prefix() &&
                   decision.plan.statistics_known;
  // What a group's planning takes: two passes over the keys, one over the values, and a search.
  const double planning_seconds =
      static_cast<double>(problem.n_kv()) * static_cast<double>(2 * dim + problem.value_dim() + 4) * 2e-9 + 3e-3;
  const double bytes = static_cast<double>(problem.n_q() * dim) * 16.0;
  if (!may || best < kWorthwhile || 2.0 * planning_seconds > kPlanningShare * best ||
      bytes > 0.25 * static_cast<double>(context.memory->limit())) {
    return;
  }
  Request quiet = request;
  quiet.full_report = false;
  base::Buffer<double> queries(problem.n_q() * dim, context.memory);
  base::load_rows(problem.queries, 0, problem.n_q(), queries.data(), dim);
  const Splitter splitter{queries.data(), dim, engines::metric_of(problem)};
  std::vector<std::vector<std::int64_t>> parts(1, std::vector<std::int64_t>(usize(problem.n_q())));
  std::iota(parts.front().begin(), parts.front().end(), std::int64_t{0});
  Level found;
  double spent = 0.0;
  for (std::int64_t count = 2; count <= kMostGroups && problem.n_q() / count >= kFewestRows; count *= 2) {
    spent += static_cast<double>(count) * planning_seconds;
    if (spent > kPlanningShare * best) {
      break;
    }
    std::vector<std::vector<std::int64_t>> next;
    for (std::vector<std::int64_t>& rows : parts) {
      auto [low, high] = splitter.halves(std::move(rows));
      next.push_back(std::move(low));
      next.push_back(std::move(high));
    }
    parts = next;
    Level level = plan_level(problem, splitter, std::move(next), quiet, planning_seconds, context);
    if (level.largest.degree >= 0 && level.seconds < kGain * best) {
      best = level.seconds;
      found = std::move(level);
    } else if (!found.groups.empty()) {
      break;  // one more level may still help where the first did not
    }
  }
  if (!found.groups.empty()) {
    take(std::move(found), problem, context, decision);
  }
}

}  // namespace polyattn::planning
