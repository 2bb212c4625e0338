// The search for polynomials: which keys, which rows, which degree, in which arithmetic.

#include "base/error.hpp"
#include "engines/polynomial/causal.hpp"
#include "engines/polynomial/outlying_keys.hpp"
#include "numerics/papers_bound.hpp"
#include "planning/planner.hpp"
#include "polyattn/polynomial.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace polyattn::planning {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// A prediction must clear the tolerance by this factor: rows outside the sample may be a little worse.
constexpr double kPredictionMargin = 0.95;
/// Part of the tolerance that keys left out may cost a row at the edge of those served.
constexpr double kFarShare = 0.05;
/// Shells of keys are looked at where their pass, seconds a key as measured here, is a small part of what is planned.
constexpr double kShellSeconds = 3e-8;
constexpr double kShellPays = 10.0;
/// Tries of other reaches may together cost this part of what is planned, by all that is known before.
constexpr double kTriesShare = 0.03;
constexpr std::int64_t kMaxRank = std::int64_t{1} << 24;

std::int64_t outlying_count(const engines::Frame& frame) noexcept {
  return frame.outlying == nullptr ? 0 : frame.outlying->count();
}

}  // namespace

std::vector<Arithmetic> arithmetics(const Request& request) {
  if (request.arithmetic != Arithmetic::automatic) {
    return {request.arithmetic};
  }
  return {Arithmetic::float32, Arithmetic::float64};
}

namespace {

/// Causal rows in float64 may take their pairs in float32.
bool narrow_pairs(const engines::HeadProblem& problem, const engines::Frame& frame, const engines::ValueRange& values,
                  Arithmetic arithmetic, double tolerance) {
  return problem.mask.causal && arithmetic == Arithmetic::float64 &&
         engines::pairs_in_float32(frame, values, tolerance);
}

}  // namespace

/// One degree of one arithmetic: better than what was found before, or not.
void Planner::try_degree(const engines::Frame& frame, const engines::ValueRange& values, const Sample& sample,
                         const ErrorTable& table, bool spread, Find& best) {
  const Arithmetic arithmetic = best.candidate.arithmetic;
  const std::int64_t rank = feature_rank(problem.dim(), table.degree);
  const PolynomialSize size{rank, table.degree, spread,
                            narrow_pairs(problem, frame, values, arithmetic, plan().tolerance), outlying_count(frame)};
  const Prediction prediction = predict(sample, frame, values, rank, table, spread, arithmetic, request.output,
                                        problem.n_kv(), plan().tolerance * kPredictionMargin);
  const double seconds =
      cost.polynomial_seconds(problem, queries, size, arithmetic) + prediction.failing_share * plan().exact_seconds;
  if (!(seconds < best.candidate.seconds) && best.candidate.degree >= 0) {
    return;
  }
  best.spread = spread;
  best.candidate.degree = table.degree;
  best.candidate.rank = rank;
  best.candidate.seconds = seconds;
  best.candidate.bytes = static_cast<double>(polynomial_bytes(problem, size, arithmetic, 1));
  best.candidate.predicted_bound = prediction.bound;
  best.candidate.fallback_share = prediction.failing_share;
}

Find Planner::best_degree(const engines::Frame& frame, const engines::ValueRange& values, const Sample& sample,
                          Arithmetic arithmetic) {
  Find best;
  Candidate& candidate = best.candidate;
  candidate.engine = Engine::polynomial;
  candidate.arithmetic = arithmetic;
  candidate.seconds = kInfinity;
  candidate.predicted_bound = kInfinity;
  const bool forced = request.engine == Engine::polynomial;
  const bool may_spread = problem.value_dim() >= engines::kChordColumns;
  const double radius = served_radius(frame, sample);
  const int first = request.degree.value_or(0);
  const int last = request.degree.value_or(kMaxPlannedDegree);
  ErrorSeries tables(radius, last);
  for (int degree = first; degree <= last; ++degree) {
    const std::int64_t rank = feature_rank(problem.dim(), degree);
    if (rank < 0 || rank > kMaxRank) {
      break;
    }
    const PolynomialSize size{rank, degree, false, narrow_pairs(problem, frame, values, arithmetic, plan().tolerance),
                              outlying_count(frame)};
    const std::int64_t bytes = polynomial_bytes(problem, size, arithmetic, 1);
    // Higher degrees only cost more: stop where even a degree with no failing row could not win.
    const double to_beat = std::min(candidate.seconds, forced && !request.degree ? kInfinity : plan().exact_seconds);
    const bool too_much = static_cast<std::uint64_t>(bytes) > context.memory->limit();
    const double floor_seconds = cost.polynomial_seconds(problem, queries, size, arithmetic);
    if (!request.degree && (floor_seconds >= to_beat || too_much || (forced && rank > (1 << 20)))) {
      break;
    }
    const ErrorTable table = tables.table(degree);
    try_degree(frame, values, sample, table, false, best);
    if (candidate.degree == degree && candidate.fallback_share == 0.0) {
      break;
    }
    if (may_spread && degree >= engines::kSpreadDegree) {
      try_degree(frame, values, sample, table, true, best);
      if (candidate.degree == degree && candidate.fallback_share == 0.0) {
        break;
      }
    }
  }
  if (candidate.degree >= 0) {
    const auto rounding = arithmetic == Arithmetic::float32
                              ? engines::rounding_model<float>(candidate.degree, candidate.rank, problem.n_kv())
                              : engines::rounding_model<double>(candidate.degree, candidate.rank, problem.n_kv());
    const ExpPolynomial polynomial = exp_polynomial(radius, candidate.degree);
    candidate.a_priori_bound =
        problem.mask.causal || !frame.far.mass.empty() || frame.outlying != nullptr
            ? kInfinity
            : a_priori_bound(frame, values, polynomial, rounding, problem.n_kv(), request.output);
    candidate.papers_bound = numerics::papers_bound(polynomial, values.max_abs);
  }
  return best;
}

Find Planner::polynomial_candidate(const engines::Frame& frame, const engines::ValueRange& values, const Sample& sample,
                                   Arithmetic arithmetic) {
  const bool forced = request.engine == Engine::polynomial;
  Find find;
  Candidate& candidate = find.candidate;
  if (!(served_radius(frame, sample) <= kMaxRadius)) {
    candidate.engine = Engine::polynomial;
    candidate.arithmetic = arithmetic;
    candidate.seconds = kInfinity;
    candidate.predicted_bound = kInfinity;
    candidate.reason =
        "scores spread over a radius of " + base::text(served_radius(frame, sample)) + ", no polynomial serves that";
    candidate.usable = forced;
    if (forced) {  // every row lies outside what the frame serves; exact answers them
      candidate.degree = request.degree.value_or(0);
      candidate.rank = std::max<std::int64_t>(feature_rank(problem.dim(), candidate.degree), 1);
    }
    return find;
  }
  find = best_degree(frame, values, sample, arithmetic);
  candidate.usable =
      candidate.degree >= 0 && (forced || (eligible && candidate.fallback_share < 0.5 && plan().tolerance > 0.0));
  if (candidate.degree < 0) {
    candidate.reason = "every degree would cost more than exact";
  } else if (candidate.fallback_share >= 0.5) {
    candidate.reason = "at degree " + std::to_string(candidate.degree) + ", the dearest that could beat exact, " +
                       base::text(std::round(100.0 * candidate.fallback_share)) +
                       " % of rows miss the tolerance: radius " + base::text(served_radius(frame, sample)) +
                       " is too large";
  } else {
    candidate.reason =
        "degree " + std::to_string(candidate.degree) + " is expected to certify " +
        base::text(std::round(1000.0 * (1.0 - candidate.fallback_share)) / 10.0) + " % of rows" +
        (find.spread ? ", with value-weighted moments" : "") + (frame.far.mass.empty() ? "" : ", far keys left out") +
        (frame.outlying == nullptr ? ""
                                   : ", " + std::to_string(outlying_count(frame)) + " outlying keys summed exactly") +
        (forced || eligible ? "" : "; not considered: " + ineligible);
  }
  return find;
}

/// Where rows that fail are refused, fewer of them come first.
bool Planner::better(const Candidate& a, const Candidate& b) const noexcept {
  if (b.degree < 0 || (request.strict && a.fallback_share != b.fallback_share)) {
    return b.degree < 0 || a.fallback_share < b.fallback_share;
  }
  return a.seconds < b.seconds;
}

/// Candidates of one reach; each arithmetic keeps the cheapest it has seen.
void Planner::try_reach(engines::Frame& frame, const engines::ValueRange& values, const engines::QueryExtent& extent,
                        const Reach& reach) {
  if (!shells.shells.empty()) {
    engines::leave_out(frame, extent, shells, reach.shells);
  }
  const Sample sample = drawn_sample(frame, values, reach);
  const double radius = served_radius(frame, sample);
  for (const Arithmetic arithmetic : arithmetics(request)) {
    // Also where the radius is NaN: every row is then refused.
    Find find = polynomial_candidate(frame, values, sample, arithmetic);
    find.reach = reach;
    find.apart = apart;
    find.radius = radius <= kMaxRadius ? radius : kMaxRadius;
    const auto same = [&](const Find& other) { return other.candidate.arithmetic == arithmetic; };
    const auto before = std::find_if(found.begin(), found.end(), same);
    if (before == found.end()) {
      found.push_back(std::move(find));
    } else if (find.candidate.degree >= 0 && better(find.candidate, before->candidate)) {
      *before = std::move(find);
    }
  }
}

double Planner::least_seconds() const noexcept {
  double seconds = decision.plan.exact_seconds;
  for (const Find& find : found) {
    seconds = std::min(seconds, find.candidate.seconds);
  }
  return seconds;
}

void Planner::reach_candidates(engines::Frame& frame, const engines::ValueRange& values,
                               const engines::QueryExtent& extent) {
  const double seconds = least_seconds();
  const double try_seconds = cost.try_seconds(problem);
  const double shell_seconds = kShellSeconds * static_cast<double>(problem.n_kv());
  if (!(kTriesShare * seconds > try_seconds)) {
    return;
  }
  if (may_leave_out(problem, frame) && seconds > kShellPays * shell_seconds) {
    shells = measured_shells(frame);
  }
  const double allowed = kFarShare * std::min({plan().tolerance / values.range(), request.lse_tolerance.value_or(1.0),
                                               request.density_share.value_or(1.0)});
  double left = kTriesShare * seconds;
  for (const Reach& reach : reaches(problem, frame, extent, shells, allowed, domain != nullptr)) {
    left -= try_seconds;
    if (left < 0.0 && domain == nullptr) {
      break;
    }
    try_reach(frame, values, extent, reach);
  }
}

void Planner::polynomial_candidates(engines::Frame& frame, const engines::ValueRange& values,
                                    const engines::QueryExtent& extent) {
  try_reach(frame, values, extent, {0, 1.0});
  if (plan().tolerance > 0.0 && std::isfinite(frame.radius)) {
    // First what is more likely to help: far keys weigh next to nothing under a Gaussian score, not under another.
    const bool gaussian = problem.score.kind == engines::ScoreKind::gaussian;
    if (!gaussian) {
      outlying_candidates(values, extent);
    }
    reach_candidates(frame, values, extent);
    if (gaussian) {
      outlying_candidates(values, extent);
    }
  }
  for (const Find& find : found) {
    plan().candidates.push_back(find.candidate);
  }
}

/// Frame, features and polynomials of the candidate that was chosen.
void Planner::settle(PolynomialChoice& choice, const engines::QueryExtent& extent) {
  choice.arithmetic = plan().arithmetic;
  double radius = 0.0;
  bool spread = false;
  for (const Find& find : found) {
    if (find.candidate.arithmetic != choice.arithmetic) {
      continue;
    }
    radius = find.radius;
    spread = find.spread;
    if (find.apart != nullptr) {
      choice.frame = std::move(*find.apart);
      plan().statistics.radius_after = choice.frame.radius;
    } else if (!shells.shells.empty()) {
      const bool all = find.reach.shells == 0;
      engines::leave_out(choice.frame, extent, shells, all ? shells.shells.size() : find.reach.shells);
      engines::hide_far_keys(choice.frame, shells);
      plan().statistics.radius_after = choice.frame.radius;
    }
  }
  choice.features = engines::make_features(problem.dim(), plan().degree, problem.value_dim(), spread);
  choice.table = engines::make_table(radius, plan().degree);
}

}  // namespace polyattn::planning
