#include "planning/decide.hpp"

#include "base/error.hpp"
#include "engines/capabilities.hpp"
#include "engines/exact/certificate.hpp"
#include "engines/exact/exact.hpp"
#include "numerics/papers_bound.hpp"
#include "planning/cost_model.hpp"
#include "planning/predict.hpp"
#include "planning/reach.hpp"
#include "planning/values.hpp"
#include "polyattn/polynomial.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::planning {

namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Below this predicted time of the exact engine a statistics pass could not pay for itself.
constexpr double kSmallProblemSeconds = 3e-4;
/// A prediction must clear the tolerance by this factor: rows outside the sample may be a little worse.
constexpr double kPredictionMargin = 0.9;
constexpr double kMaxRadius = 300.0;
/// Part of the tolerance that keys left out may cost a row at the edge of those served.
constexpr double kFarShare = 0.05;
/// Shells of keys are looked at where their pass, seconds a key as measured here, is a small part of what is planned.
constexpr double kShellSeconds = 3e-8;
constexpr double kShellPays = 10.0;
/// A try of another reach takes a millisecond or two: not for less than this.
constexpr double kReachSeconds = 0.003;
constexpr std::int64_t kMaxRank = std::int64_t{1} << 24;

std::vector<Arithmetic> arithmetics(const Request& request) {
  if (request.arithmetic != Arithmetic::automatic) {
    return {request.arithmetic};
  }
  return {Arithmetic::float32, Arithmetic::float64};
}

/// What the exact engine's a-priori bound needs, from the statistics pass of the polynomial engine.
engines::KeyStatistics key_statistics(const engines::HeadProblem& problem, const engines::Frame& frame,
                                      const engines::ValueRange& values, bool single) {
  engines::KeyStatistics keys;
  keys.keys = problem.n_kv();
  keys.visible = frame.visible_keys;
  keys.first_visible = 0;
  double square = 0.0;
  for (std::size_t l = 0; l < frame.metric.size(); ++l) {
    keys.key_min.push_back(frame.key_centre[l] - frame.key_half[l]);
    keys.key_max.push_back(frame.key_centre[l] + frame.key_half[l]);
    const double far = std::fabs(frame.key_centre[l]) + frame.key_half[l];
    square += far * far;
  }
  keys.max_norm = std::sqrt(square);
  keys.value_min = values.low;
  keys.value_max = values.high;
  keys.smallest_value = 0x1p-100;  // not known here; matters below the normal range only
  keys.bias_min = 0.0;
  keys.bias_max = 0.0;
  if (problem.has_bias()) {
    std::vector<double> bias(usize(problem.n_kv()));
    engines::load_bias(problem, 0, problem.n_kv(), bias.data());
    keys.bias_min = kInfinity;
    keys.bias_max = -kInfinity;
    for (const double b : bias) {
      if (b != -kInfinity) {
        keys.bias_min = std::min(keys.bias_min, b);
        keys.bias_max = std::max(keys.bias_max, b);
      }
    }
    keys.bias_spread = std::max(0.0, keys.bias_max - keys.bias_min);
  }
  keys.keys_exact = !single || base::fits_float32(problem.keys);
  keys.values_exact = !single || base::fits_float32(problem.values);
  return keys;
}

engines::QueryStatistics query_statistics(const engines::HeadProblem& problem, const engines::QueryExtent& extent,
                                          bool single) {
  engines::QueryStatistics queries;
  double square = 0.0;
  for (std::size_t l = 0; l < extent.centre.size(); ++l) {
    queries.query_min.push_back(extent.centre[l] - extent.half[l]);
    queries.query_max.push_back(extent.centre[l] + extent.half[l]);
    const double far = std::fabs(extent.centre[l]) + extent.half[l];
    square += far * far;
  }
  queries.max_norm = std::sqrt(square);
  queries.queries_exact = !single || base::fits_float32(problem.queries);
  return queries;
}

engines::ScoreFacts score_facts(const engines::HeadProblem& problem) noexcept {
  return {problem.soft_cap, !problem.mask.from_first(), problem.pairs.additive.data != nullptr};
}

/// A polynomial candidate with what it takes to carry it out.
struct Find {
  Candidate candidate;
  Reach reach;
  double radius = 0.0;
};

/// State of one planning run.
struct Planner {
  const engines::HeadProblem& problem;
  const Request& request;
  const base::Context& context;
  const Domain* domain;
  CostModel cost;  ///< of one thread: the number of threads must not change the choice
  double queries;  ///< rows to plan for
  double pairs;
  bool eligible;           ///< an approximate engine may be chosen without being asked for
  std::string ineligible;  ///< why not
  HeadDecision decision;
  engines::KeyShells shells{};  ///< once they were looked at
  std::vector<Find> found{};    ///< the best of each arithmetic

  [[nodiscard]] HeadPlan& plan() noexcept { return decision.plan; }
  /// Largest radius the polynomials are made for. Prepared keys serve all of their domain.
  [[nodiscard]] double served_radius(const engines::Frame& frame, const Sample& sample) const noexcept {
    return domain != nullptr ? frame.radius : std::min(frame.radius, sample.served_radius);
  }

  void exact_candidates(const engines::Frame* frame, const engines::QueryExtent* extent,
                        const engines::ValueRange* values);
  void refuse_missing_engines();
  void polynomial_candidates(engines::Frame& frame, const engines::ValueRange& values,
                             const engines::QueryExtent& extent);
  void try_reach(engines::Frame& frame, const engines::ValueRange& values, const engines::QueryExtent& extent,
                 const Reach& reach);
  Candidate polynomial_candidate(const engines::Frame& frame, const engines::ValueRange& values, const Sample& sample,
                                 Arithmetic arithmetic);
  [[nodiscard]] bool better(const Candidate& a, const Candidate& b) const noexcept;
  void settle(PolynomialChoice& choice, const engines::QueryExtent& extent);
  Candidate best_degree(const engines::Frame& frame, const engines::ValueRange& values, const Sample& sample,
                        Arithmetic arithmetic);
  void statistics(const engines::QueryExtent& extent, const engines::Frame& frame, const engines::ValueRange& values);
  void choose();
  void spread_over_threads() noexcept;
};

void Planner::exact_candidates(const engines::Frame* frame, const engines::QueryExtent* extent,
                               const engines::ValueRange* values) {
  if (request.engine == Engine::reference) {
    Candidate reference;
    reference.engine = Engine::reference;
    reference.arithmetic = Arithmetic::float64;
    reference.seconds = cost.exact_seconds(problem, pairs, Arithmetic::float64) * 30.0;
    reference.usable = true;
    reference.reason = "textbook loops, asked for by name";
    plan().candidates.push_back(reference);
    return;
  }
  for (const Arithmetic arithmetic : arithmetics(request)) {
    const bool single = arithmetic == Arithmetic::float32;
    Candidate exact;
    exact.engine = Engine::exact;
    exact.arithmetic = arithmetic;
    exact.seconds = cost.exact_seconds(problem, pairs, arithmetic);
    exact.bytes =
        static_cast<double>(engines::exact_bytes(problem.n_q() * problem.sharing, problem.n_kv(), problem.dim(),
                                                 problem.value_dim(), context.threads, single ? 4 : 8));
    exact.usable = true;
    exact.predicted_bound = kInfinity;
    if (request.tolerance.value == 0.0) {
      const bool native = request.arithmetic != Arithmetic::automatic || single == request.native_float32;
      exact.usable = native;
      exact.reason = native ? "tolerance 0 asks for exact in the input's own type" : "not the input's own type";
    } else if (frame != nullptr) {
      const auto keys = key_statistics(problem, *frame, *values, single);
      const auto asked = query_statistics(problem, *extent, single);
      const engines::ScoreFacts facts = score_facts(problem);
      const auto bound = single ? engines::exact_bound<float>(problem.score, keys, asked, request.output, facts)
                                : engines::exact_bound<double>(problem.score, keys, asked, request.output, facts);
      exact.predicted_bound = bound.rounding;
      exact.a_priori_bound = facts.pairs ? kInfinity : bound.rounding;  // of masks over pairs nothing was looked at
      const bool meets = bound.rounding <= plan().tolerance && (plan().tolerance > 0.0 || !single);
      exact.usable = meets || !single;
      exact.reason = meets ? "rounding bound meets the tolerance"
                           : "rounding bound " + base::text(bound.rounding) + " exceeds the tolerance";
    } else {
      exact.reason = single ? "used where its rounding bound, known once keys are packed, meets the tolerance"
                            : "used for rows where float32 does not meet the tolerance";
    }
    plan().candidates.push_back(exact);
  }
}

void Planner::refuse_missing_engines() {
  for (const Engine engine : {Engine::grid, Engine::clustered}) {
    Candidate missing;
    missing.engine = engine;
    missing.seconds = kInfinity;
    missing.predicted_bound = kInfinity;
    missing.reason = "not part of this version";
    plan().candidates.push_back(missing);
  }
}

Candidate Planner::best_degree(const engines::Frame& frame, const engines::ValueRange& values, const Sample& sample,
                               Arithmetic arithmetic) {
  Candidate best;
  best.engine = Engine::polynomial;
  best.arithmetic = arithmetic;
  best.seconds = kInfinity;
  best.predicted_bound = kInfinity;
  const double exact = plan().exact_seconds;
  const bool forced = request.engine == Engine::polynomial;
  const double radius = served_radius(frame, sample);
  const int first = request.degree.value_or(0);
  const int last = request.degree.value_or(kMaxPlannedDegree);
  double floor_seconds = 0.0;
  engines::TableSeries tables(radius, last, 2);
  for (int degree = first; degree <= last; ++degree) {
    const std::int64_t rank = feature_rank(problem.dim(), degree);
    if (rank < 0 || rank > kMaxRank) {
      break;
    }
    const std::int64_t bytes = polynomial_bytes(problem, rank, degree, arithmetic, 1);
    floor_seconds = cost.polynomial_seconds(problem, queries, rank, degree, arithmetic);
    // Higher degrees only cost more: stop where even a degree with no failing row could not win.
    const double to_beat = std::min(best.seconds, forced && !request.degree ? kInfinity : exact);
    const bool too_much = static_cast<std::uint64_t>(bytes) > context.memory->limit();
    if (!request.degree && (floor_seconds >= to_beat || too_much || (forced && rank > (1 << 20)))) {
      break;
    }
    const engines::PolynomialTable table = tables.table(degree);
    const Prediction prediction = predict(sample, frame, values, rank, table, arithmetic, request.output,
                                          problem.n_kv(), plan().tolerance * kPredictionMargin);
    const double fallback = prediction.failing_share * exact;
    const double seconds = floor_seconds + fallback;
    if (seconds < best.seconds || best.degree < 0) {
      best.degree = degree;
      best.rank = rank;
      best.seconds = seconds;
      best.bytes = static_cast<double>(bytes);
      best.predicted_bound = prediction.bound;
      best.fallback_share = prediction.failing_share;
      const auto rounding = arithmetic == Arithmetic::float32
                                ? engines::rounding_model<float>(degree, rank, problem.n_kv())
                                : engines::rounding_model<double>(degree, rank, problem.n_kv());
      best.a_priori_bound = problem.mask.causal || !frame.far.mass.empty()
                                ? kInfinity
                                : a_priori_bound(frame, values, table, rounding, problem.n_kv(), request.output);
      best.papers_bound = kInfinity;
      best.papers_bound = numerics::papers_bound(exp_polynomial(radius, degree), values.max_abs);
    }
    if (prediction.failing_share == 0.0) {
      break;
    }
  }
  return best;
}

Candidate Planner::polynomial_candidate(const engines::Frame& frame, const engines::ValueRange& values,
                                        const Sample& sample, Arithmetic arithmetic) {
  const bool forced = request.engine == Engine::polynomial;
  Candidate candidate;
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
    return candidate;
  }
  candidate = best_degree(frame, values, sample, arithmetic);
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
    candidate.reason = "degree " + std::to_string(candidate.degree) + " is expected to certify " +
                       base::text(std::round(1000.0 * (1.0 - candidate.fallback_share)) / 10.0) + " % of rows" +
                       (frame.far.mass.empty() ? "" : ", far keys left out") +
                       (forced || eligible ? "" : "; not considered: " + ineligible);
  }
  return candidate;
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
  const Sample sample = draw_sample(problem, frame, values, reach.share, context);
  const double radius = served_radius(frame, sample);
  for (const Arithmetic arithmetic : arithmetics(request)) {
    // Also where the radius is NaN: every row is then refused.
    Find find{polynomial_candidate(frame, values, sample, arithmetic), reach,
              radius <= kMaxRadius ? radius : kMaxRadius};
    const auto same = [&](const Find& other) { return other.candidate.arithmetic == arithmetic; };
    const auto before = std::find_if(found.begin(), found.end(), same);
    if (before == found.end()) {
      found.push_back(std::move(find));
    } else if (find.candidate.degree >= 0 && better(find.candidate, before->candidate)) {
      *before = std::move(find);
    }
  }
}

void Planner::polynomial_candidates(engines::Frame& frame, const engines::ValueRange& values,
                                    const engines::QueryExtent& extent) {
  try_reach(frame, values, extent, {0, 1.0});
  double seconds = plan().exact_seconds;
  for (const Find& find : found) {
    seconds = std::min(seconds, find.candidate.seconds);
  }
  const double shell_seconds = kShellSeconds * static_cast<double>(problem.n_kv());
  if (plan().tolerance > 0.0 && std::isfinite(frame.radius) && seconds > kReachSeconds) {
    if (may_leave_out(problem, frame) && seconds > kShellPays * shell_seconds) {
      shells = engines::key_shells(problem, frame, context);
    }
    const double allowed = kFarShare * std::min({plan().tolerance / values.range(), request.lse_tolerance.value_or(1.0),
                                                 request.density_tolerance.value_or(1.0)});
    for (const Reach& reach : reaches(problem, frame, extent, shells, allowed, domain != nullptr)) {
      try_reach(frame, values, extent, reach);
    }
  }
  for (const Find& find : found) {
    plan().candidates.push_back(find.candidate);
  }
}

/// Frame, features and polynomials of the candidate that was chosen.
void Planner::settle(PolynomialChoice& choice, const engines::QueryExtent& extent) {
  choice.arithmetic = plan().arithmetic;
  choice.features = engines::make_features(problem.dim(), plan().degree);
  double radius = 0.0;
  for (const Find& find : found) {
    if (find.candidate.arithmetic != choice.arithmetic) {
      continue;
    }
    radius = find.radius;
    if (!shells.shells.empty()) {
      const bool all = find.reach.shells == 0;
      engines::leave_out(choice.frame, extent, shells, all ? shells.shells.size() : find.reach.shells);
      engines::hide_far_keys(choice.frame, shells);
      plan().statistics.radius_after = choice.frame.radius;
    }
  }
  choice.table = engines::make_table(radius, plan().degree);
}

void Planner::statistics(const engines::QueryExtent& extent, const engines::Frame& frame,
                         const engines::ValueRange& values) {
  InputStatistics& s = plan().statistics;
  plan().statistics_known = true;
  s.visible_keys = frame.visible_keys;
  s.max_abs_query = extent.max_abs;
  s.max_abs_key = frame.max_abs_key;
  s.max_abs_value = values.max_abs;
  s.value_range = values.range();
  s.radius_before = frame.radius_before;
  s.radius_after = frame.radius;
}

void Planner::choose() {
  Candidate* best = nullptr;
  for (Candidate& candidate : plan().candidates) {
    const bool allowed = request.engine == Engine::automatic || candidate.engine == request.engine;
    if (candidate.usable && allowed && (best == nullptr || candidate.seconds < best->seconds)) {
      best = &candidate;
    }
  }
  if (best == nullptr) {
    base::fail(ErrorCode::not_reachable, "engine", "one that can serve this head",
               std::string(name_of(request.engine)) + ", which cannot");
  }
  best->chosen = true;
  plan().engine = best->engine;
  plan().arithmetic = best->arithmetic;
  plan().degree = best->degree;
  plan().rank = best->rank;
  plan().predicted_seconds = best->seconds;
  plan().predicted_bytes = best->bytes;
  plan().predicted_bound = best->predicted_bound;
  for (Candidate& candidate : plan().candidates) {
    if (!candidate.chosen && candidate.usable) {
      candidate.reason += best->engine == candidate.engine || request.engine == Engine::automatic
                              ? "; dearer than the choice"
                              : "; not asked for";
    }
  }
}

/// Predictions so far are of one thread; all engines share their work out well.
void Planner::spread_over_threads() noexcept {
  const double threads = std::max(1, context.threads);
  plan().predicted_seconds /= threads;
  plan().exact_seconds /= threads;
  for (Candidate& candidate : plan().candidates) {
    candidate.seconds /= threads;
  }
}

}  // namespace

double absolute_tolerance(const Tolerance& tolerance, double range) noexcept {
  return tolerance.kind == ToleranceKind::absolute ? tolerance.value : tolerance.value * range;
}

HeadDecision decide(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                    const Domain* domain) {
  Planner planner{problem, request, context, domain, CostModel(request.calibration, 1), 0.0, 0.0, false, {}, {}};
  planner.queries = domain != nullptr ? domain->expected_queries : static_cast<double>(problem.n_q());
  planner.pairs = domain != nullptr ? planner.queries * static_cast<double>(problem.n_kv()) : score_pairs(problem);
  HeadPlan& plan = planner.plan();
  plan.batch = problem.batch;
  plan.head = problem.head;
  plan.statistics.queries = problem.n_q();
  plan.statistics.keys = plan.statistics.visible_keys = problem.n_kv();
  plan.statistics.dim = problem.dim();
  plan.statistics.value_dim = problem.value_dim();
  plan.tolerance = request.tolerance.kind == ToleranceKind::absolute ? request.tolerance.value : 0.0;
  plan.exact_seconds = planner.cost.exact_seconds(
      problem, planner.pairs,
      request.arithmetic == Arithmetic::automatic
          ? (request.native_float32 || request.tolerance.value > 0.0 ? Arithmetic::float32 : Arithmetic::float64)
          : request.arithmetic);
  planner.decision.exact_arithmetic = request.arithmetic;

  const bool forced_polynomial = request.engine == Engine::polynomial;
  const bool empty = problem.n_kv() == 0 || (problem.n_q() == 0 && domain == nullptr);
  const bool approximate = !empty && !request.want_row_max && problem.non_finite == NonFinite::error &&
                           request.tolerance.value > 0.0 && request.engine == Engine::automatic &&
                           engines::supports_polynomial(problem);
  const bool small = plan.exact_seconds < kSmallProblemSeconds && domain == nullptr;
  const bool look = !empty && (forced_polynomial || (approximate && !small) ||
                               (request.full_report && request.engine != Engine::reference));
  planner.eligible = approximate && !small;
  planner.ineligible = request.want_row_max                         ? "the row maximum comes from exact only"
                       : problem.non_finite == NonFinite::propagate ? "NaN and infinity are to propagate"
                       : request.tolerance.value == 0.0 ? "tolerance 0 asks for exact in the input's own type"
                       : !engines::supports_polynomial(problem)
                           ? "no approximate engine has these masks or soft-capping"
                           : "too small for a statistics pass to pay";
  if (!look || (forced_polynomial && empty)) {
    if (forced_polynomial) {
      Candidate nothing;
      nothing.engine = Engine::polynomial;
      nothing.arithmetic = arithmetics(request).front();
      nothing.degree = 0;
      nothing.rank = 1;
      nothing.usable = true;
      nothing.reason = "nothing to compute";
      plan.candidates.push_back(nothing);
    }
    planner.exact_candidates(nullptr, nullptr, nullptr);
    planner.choose();
    plan.why = request.engine != Engine::automatic ? "asked for by name" : planner.ineligible;
    planner.spread_over_threads();
    return std::move(planner.decision);
  }

  const engines::QueryExtent extent = domain != nullptr ? domain->extent : engines::query_extent(problem, context);
  auto choice = std::make_shared<PolynomialChoice>();
  choice->frame = engines::make_frame(problem, extent, context);
  choice->values = value_range(problem, choice->frame.log_weight.data(), choice->frame.log_scale, context);
  planner.statistics(extent, choice->frame, choice->values);
  plan.tolerance = absolute_tolerance(request.tolerance, choice->values.range());
  planner.exact_candidates(&choice->frame, &extent, &choice->values);
  if (request.tolerance.value > 0.0) {  // the yardstick: the fastest exact arithmetic that meets the tolerance
    plan.exact_seconds = kInfinity;
    for (const Candidate& candidate : plan.candidates) {
      if (candidate.engine == Engine::exact && candidate.usable) {
        plan.exact_seconds = std::min(plan.exact_seconds, candidate.seconds);
      }
    }
  }
  if (choice->frame.visible_keys > 0 && request.engine != Engine::exact && engines::supports_polynomial(problem)) {
    planner.polynomial_candidates(choice->frame, choice->values, extent);
  }
  planner.refuse_missing_engines();
  if (forced_polynomial && choice->frame.visible_keys == 0) {
    Candidate nothing;
    nothing.engine = Engine::polynomial;
    nothing.arithmetic = arithmetics(request).front();
    nothing.degree = 0;
    nothing.rank = 1;
    nothing.usable = true;
    nothing.reason = "no key is visible";
    plan.candidates.push_back(nothing);
  }
  planner.choose();
  if (plan.engine == Engine::polynomial) {
    planner.settle(*choice, extent);
    planner.decision.polynomial = std::move(choice);
    plan.why = forced_polynomial
                   ? "asked for by name"
                   : "certifies the tolerance at " +
                         base::text(std::round(1000.0 * plan.predicted_seconds / plan.exact_seconds) / 10.0) +
                         " % of the predicted time of exact";
  } else {
    plan.why = request.engine != Engine::automatic ? "asked for by name"
               : !planner.eligible                 ? planner.ineligible
               : plan.tolerance == 0.0             ? "the values do not vary: exact in float64"
                                                   : "no approximate engine is cheaper at this tolerance";
  }
  planner.spread_over_threads();
  return std::move(planner.decision);
}

}  // namespace polyattn::planning
