// The search for polynomials at order k >= 3. An exact row costs as much as n_1 n_2 ... keys, so a degree that leaves
// no row behind is nearly always cheaper than one that leaves a few.

#include "planning/tuple_planner.hpp"

#include "base/error.hpp"
#include "planning/chosen.hpp"
#include "planning/planner.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace polyattn::planning {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// A prediction must clear what is allowed by this factor: rows that were not looked at may be a little worse.
constexpr double kMargin = 0.9;
/// Exact done sooner than this is not worth a look at anything else.
constexpr double kSmallSeconds = 3e-4;
/// Part of exact's time that looking may take.
constexpr double kSearchShare = 0.15;
/// Keys of a set and rows that a prediction looks at, about.
constexpr double kPredictedKeys = 512.0;
constexpr double kPredictedRows = 64.0;
/// Scores that weigh in sums of errors are so many times the typical one.
constexpr double kLargeScore = 2.0;
/// Where the engine is forced, looking may take so many seconds more, and ranks may be so large.
constexpr double kForcedSeconds = 0.05;
constexpr double kMostForcedRank = 0x1p18;

/// What part of its work predicting a choice takes.
double predicted_part(const engines::TupleProblem& problem) noexcept {
  auto all = static_cast<double>(problem.n_q());
  double some = std::min(all, kPredictedRows);
  for (const engines::KeySet& set : problem.sets) {
    all += static_cast<double>(set.size());
    some += std::min(static_cast<double>(set.size()), kPredictedKeys);
  }
  return some / std::max(all, 1.0);
}

std::string percent(double share) { return base::text(std::round(1000.0 * share) / 10.0) + " %"; }

}  // namespace

engines::Acceptance tuple_acceptance(const Request& request, double tolerance, double share) noexcept {
  engines::Acceptance acceptance;
  acceptance.tolerance = share * tolerance;
  acceptance.lse_tolerance = share * request.lse_tolerance.value_or(kInfinity);
  acceptance.density_tolerance = share * request.density_tolerance.value_or(kInfinity);
  acceptance.density_absolute = request.density_absolute;
  return acceptance;
}

double TuplePlanner::own_seconds(const engines::TupleChoice& choice) const noexcept {
  const double more = rows - static_cast<double>(problem.n_q());
  const double work = engines::tuple_work(problem, choice) + engines::tuple_row_work(problem, choice, more);
  return cost.tuple_polynomial_seconds(problem, choice, work);
}

double TuplePlanner::look_seconds(const engines::TupleChoice& choice) const noexcept {
  return cost.tuple_polynomial_seconds(problem, choice, predicted_part(problem) * engines::tuple_work(problem, choice));
}

TupleFind TuplePlanner::predicted(const engines::TupleChoice& choice) {
  TupleFind find;
  find.choice = choice;
  Candidate& candidate = find.candidate;
  candidate.engine = Engine::polynomial;
  candidate.arithmetic = choice.single ? Arithmetic::float32 : Arithmetic::float64;
  candidate.degree = choice.degree;
  candidate.rank = static_cast<std::int64_t>(std::min(engines::tuple_rank(problem, choice.degree), 0x1p62));
  const double own = own_seconds(choice);
  left -= look_seconds(choice);
  const engines::TuplePrediction expected = engines::predict_tuples(
      problem, *measured->frame, choice, tuple_acceptance(request, plan().tolerance, kMargin), request.output, context);
  find.rounding = expected.rounding;
  candidate.fallback_share = 1.0 - expected.served;
  candidate.seconds = own + candidate.fallback_share * plan().exact_seconds;
  candidate.bytes = static_cast<double>(expected.bytes);
  candidate.predicted_bound = expected.bound;
  candidate.a_priori_bound = expected.a_priori;
  candidate.papers_bound = kInfinity;
  candidate.reason = "degree " + std::to_string(choice.degree) + " is expected to certify " + percent(expected.served) +
                     " of rows" + (choice.spread ? ", with value-weighted moments" : "");
  return find;
}

/// Where rows that fail are refused, fewer of them come first.
bool TuplePlanner::better(const Candidate& a, const Candidate& b) const noexcept {
  if (b.degree < 0 || (request.strict && a.fallback_share != b.fallback_share)) {
    return b.degree < 0 || a.fallback_share < b.fallback_share;
  }
  return a.seconds < b.seconds;
}

int TuplePlanner::likely_degree() const noexcept {
  const double range = decision.facts.range();
  const double share = range > 0.0 ? plan().tolerance / range : 1.0;
  const double score = kLargeScore * decision.facts.typical_score;
  double error = score;  // of a Taylor polynomial of degree 0, about
  int degree = 0;
  while (error > share && degree < kMaxPlannedDegree) {
    ++degree;
    error *= score / static_cast<double>(degree + 1);
  }
  return degree;
}

bool TuplePlanner::may_try(Arithmetic arithmetic, int degree, double to_beat) const noexcept {
  const bool forced = request.engine == Engine::polynomial;
  const engines::TupleChoice choice{degree, arithmetic == Arithmetic::float32, false};
  const double rank = engines::tuple_rank(problem, degree);
  if (degree > kMaxPlannedDegree || rank > engines::kMostRank || (forced && rank > kMostForcedRank)) {
    return false;
  }
  const auto bytes = static_cast<std::uint64_t>(engines::tuple_bytes(problem, choice, 1));
  const bool time_left = forced ? look_seconds(choice) < left + kForcedSeconds
                                : own_seconds(choice) < to_beat && look_seconds(choice) < left;
  return bytes <= context.memory->limit() && time_left;
}

TupleFind TuplePlanner::best_variant(Arithmetic arithmetic, int degree) {
  TupleFind best = predicted({degree, arithmetic == Arithmetic::float32, false});
  if (best.candidate.fallback_share > 0.0 && degree >= engines::kSpreadDegree && plan().tolerance > 0.0) {
    TupleFind spread = predicted({degree, arithmetic == Arithmetic::float32, true});
    if (better(spread.candidate, best.candidate)) {
      best = std::move(spread);
    }
  }
  return best;
}

TupleFind TuplePlanner::too_wide(Arithmetic arithmetic) const {
  TupleFind find;
  Candidate& candidate = find.candidate;
  candidate.engine = Engine::polynomial;
  candidate.arithmetic = arithmetic;
  candidate.seconds = candidate.predicted_bound = kInfinity;
  candidate.fallback_share = 1.0;
  candidate.reason =
      "scores spread over a radius of " + base::text(plan().statistics.radius_after) + ", no polynomial serves that";
  if (request.engine == Engine::polynomial) {  // exact answers every row
    candidate.degree = request.degree.value_or(0);
    candidate.rank = static_cast<std::int64_t>(std::min(engines::tuple_rank(problem, candidate.degree), 0x1p62));
    find.choice.degree = candidate.degree;
  }
  return find;
}

TupleFind TuplePlanner::best_degree(Arithmetic arithmetic, int start) {
  if (request.degree) {
    return best_variant(arithmetic, *request.degree);
  }
  TupleFind best;
  best.candidate.engine = Engine::polynomial;
  best.candidate.arithmetic = arithmetic;
  best.candidate.seconds = kInfinity;
  best.candidate.predicted_bound = kInfinity;
  best.candidate.reason = "every degree would cost more than exact, or more to look at than it may save";
  int degree = start;
  while (degree > 0 && !may_try(arithmetic, degree, plan().exact_seconds)) {
    --degree;
  }
  if (!may_try(arithmetic, degree, plan().exact_seconds)) {
    return best;
  }
  best = best_variant(arithmetic, degree);
  const bool all = best.candidate.fallback_share == 0.0;
  // No degree serves rows whose rounding alone is too much, or a tolerance of 0.
  const auto hopeless = [&](const TupleFind& find) { return !(find.rounding <= kMargin * plan().tolerance); };
  bool stop = !all && hopeless(best);
  const int step = all ? -1 : 1;
  // Higher degrees only cost more: stop where even one that leaves no row could not win.
  for (degree += step;
       !stop && degree >= 0 && may_try(arithmetic, degree, std::min(best.candidate.seconds, plan().exact_seconds));
       degree += step) {
    TupleFind find = best_variant(arithmetic, degree);
    const bool serves = find.candidate.fallback_share == 0.0;
    stop = serves != all || (!serves && hopeless(find));
    if (better(find.candidate, best.candidate)) {
      best = std::move(find);
    }
  }
  return best;
}

std::string TuplePlanner::why_not_polynomial() const {
  if (request.want_row_max) {
    return "the row maximum comes from exact only";
  }
  if (problem.non_finite == NonFinite::propagate) {
    return "NaN and infinity are to propagate";
  }
  if (request.tolerance.value == 0.0) {
    return "tolerance 0 asks for exact in the input's own type";
  }
  if (plan().tolerance == 0.0) {
    return "the values do not vary: exact in float64";
  }
  if (plan().exact_seconds < kSmallSeconds) {
    return "too small for a search for polynomials to pay";
  }
  return {};
}

void TuplePlanner::consider(TupleFind find) {
  Candidate& candidate = find.candidate;
  const bool forced = request.engine == Engine::polynomial;
  candidate.usable = candidate.degree >= 0 && (forced || candidate.fallback_share < 0.5);
  if (candidate.degree >= 0 && candidate.fallback_share >= 0.5 && candidate.seconds < kInfinity) {
    candidate.reason = "at degree " + std::to_string(candidate.degree) + ", the best looked at, " +
                       percent(candidate.fallback_share) + " of rows miss the tolerance: " +
                       (find.rounding <= kMargin * plan().tolerance
                            ? "radius " + base::text(plan().statistics.radius_after) + " is too large"
                            : "rounding alone is too much");
  }
  plan().candidates.push_back(candidate);
  found.push_back(std::move(find));
}

void TuplePlanner::polynomial_candidates() {
  const bool forced = request.engine == Engine::polynomial;
  ineligible = why_not_polynomial();
  if (request.engine == Engine::exact || (!forced && !ineligible.empty())) {
    return;
  }
  if (forced && request.arithmetic == Arithmetic::float32 && !engines::single_allowed(problem)) {
    base::fail(ErrorCode::unsupported, "arithmetic float32: engine polynomial has float64 only at order " +
                                           std::to_string(problem.order()) + " where rows see different keys");
  }
  if (nothing) {
    Candidate none;
    none.engine = Engine::polynomial;
    none.arithmetic = arithmetics(request).front();
    none.degree = 0;
    none.rank = 1;
    none.usable = forced;
    none.reason = "nothing to compute";
    plan().candidates.push_back(none);
    return;
  }
  measured = std::make_shared<TuplePolynomials>();
  if (known.frame == nullptr) {
    known.frame = std::make_shared<const engines::TupleFrame>(engines::make_tuple_frame(problem, context));
  }
  measured->frame = known.frame;
  plan().statistics.radius_before = measured->frame->frame.radius_before;
  plan().statistics.radius_after = measured->frame->frame.radius;
  left = kSearchShare * plan().exact_seconds;
  for (const Arithmetic arithmetic : arithmetics(request)) {  // float32 first: where it serves it is the cheaper one
    if (arithmetic == Arithmetic::float32 && !engines::single_allowed(problem)) {
      continue;
    }
    TupleFind find =
        plan().statistics.radius_after <= kMaxRadius ? best_degree(arithmetic, likely_degree()) : too_wide(arithmetic);
    const bool serves = find.candidate.degree >= 0 && find.candidate.fallback_share == 0.0;
    consider(std::move(find));
    if (serves) {
      break;
    }
  }
}

void TuplePlanner::explain() {
  std::string& why = plan().why;
  if (request.engine != Engine::automatic) {
    why = "asked for by name";
  } else if (plan().engine == Engine::polynomial) {
    const double times = plan().exact_seconds / plan().predicted_seconds;
    why = "certifies the tolerance " + (times >= 100.0
                                            ? base::text(std::round(times)) + " times faster than exact, as predicted"
                                            : "at " + share_of_exact(plan()));
  } else {
    why = !ineligible.empty() ? ineligible
          : nothing           ? "nothing to compute"
                              : "no polynomial is cheaper at this tolerance";
  }
}

void TuplePlanner::settle() {
  if (plan().engine != Engine::polynomial || measured == nullptr) {
    return;
  }
  for (const TupleFind& find : found) {
    if (find.candidate.arithmetic == plan().arithmetic) {
      measured->choice = find.choice;
    }
  }
  measured->seconds_per_row = plan().exact_seconds / std::max(1.0, rows);
  decision.polynomials = measured;
}

}  // namespace polyattn::planning
