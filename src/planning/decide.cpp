#include "planning/decide.hpp"

#include "base/error.hpp"
#include "engines/capabilities.hpp"
#include "engines/exact/certificate.hpp"
#include "engines/exact/exact.hpp"
#include "planning/chosen.hpp"
#include "planning/glance.hpp"
#include "planning/grid_choice.hpp"
#include "planning/planner.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

namespace polyattn::planning {

namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Below this predicted time of the exact engine a statistics pass could not pay for itself.
constexpr double kSmallProblemSeconds = 3e-4;

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

}  // namespace

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
  Candidate missing;
  missing.engine = Engine::clustered;
  missing.seconds = kInfinity;
  missing.predicted_bound = kInfinity;
  missing.reason = "not part of this version";
  plan().candidates.push_back(missing);
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
  plan().fallback_share = best->engine == Engine::polynomial ? best->fallback_share : 1.0;
  plan().kind = best->kind;
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

double absolute_tolerance(const Tolerance& tolerance, double range) noexcept {
  return tolerance.kind == ToleranceKind::absolute ? tolerance.value : tolerance.value * range;
}

namespace {

/// The planner of a head before anything was measured.
Planner make_planner(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
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
  return planner;
}

/// For a forced polynomial engine that has nothing to do.
Candidate nothing_to_do(const Request& request, const char* reason) {
  Candidate nothing;
  nothing.engine = Engine::polynomial;
  nothing.arithmetic = arithmetics(request).front();
  nothing.degree = 0;
  nothing.rank = 1;
  nothing.usable = true;
  nothing.reason = reason;
  return nothing;
}

/// Why no approximate engine is considered; means nothing where one is.
std::string why_not(const engines::HeadProblem& problem, const Request& request, const Glance& seen) {
  if (request.want_row_max) {
    return "the row maximum comes from exact only";
  }
  if (problem.non_finite == NonFinite::propagate) {
    return "NaN and infinity are to propagate";
  }
  if (request.tolerance.value == 0.0) {
    return "tolerance 0 asks for exact in the input's own type";
  }
  if (!engines::supports_polynomial(problem)) {
    return "no approximate engine has these masks or soft-capping";
  }
  if (seen.worth) {
    return "too small for a statistics pass to pay";
  }
  return seen.degree < 0 ? "no degree that might do is cheaper than exact, going by a few rows"
                         : "degree " + std::to_string(seen.degree) +
                               " or more would be needed, going by a few rows: no cheaper than exact, search included";
}

/// `facts` are measured if they are needed and not there. With `settle`, they are used up by the decision.
HeadDecision decide_with(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                         const Domain* domain, std::optional<HeadFacts>& facts, bool settle) {
  Planner planner = make_planner(problem, request, context, domain);
  HeadPlan& plan = planner.plan();
  const bool forced_polynomial = request.engine == Engine::polynomial;
  const bool empty = problem.n_kv() == 0 || (problem.n_q() == 0 && domain == nullptr);
  const bool approximate = !empty && !request.want_row_max && problem.non_finite == NonFinite::error &&
                           request.tolerance.value > 0.0 && request.engine == Engine::automatic &&
                           engines::supports_polynomial(problem);
  const bool small = plan.exact_seconds < kSmallProblemSeconds && domain == nullptr;
  Glance seen;
  if (approximate && !small && domain == nullptr && request.guarantee == Guarantee::certified) {
    seen = glance(problem, request, planner.cost, planner.queries, planner.pairs);
  }
  planner.eligible = approximate && !small && seen.worth;
  planner.ineligible = why_not(problem, request, seen);
  const bool look_closer =
      !empty && (forced_polynomial || planner.eligible || (request.full_report && request.engine != Engine::reference));
  if (!look_closer) {
    if (forced_polynomial) {
      plan.candidates.push_back(nothing_to_do(request, "nothing to compute"));
    }
    planner.exact_candidates(nullptr, nullptr, nullptr);
    planner.choose();
    plan.why = request.engine != Engine::automatic ? "asked for by name" : planner.ineligible;
    planner.spread_over_threads();
    return std::move(planner.decision);
  }
  if (!facts) {
    facts = look(problem, context, domain);
  }
  facts->kept = !settle;
  facts->restore();
  planner.known = &*facts;
  planner.weigh();
  planner.choose();
  planner.explain();
  if (settle && plan.engine == Engine::polynomial) {
    auto choice = std::make_shared<PolynomialChoice>();
    choice->frame = std::move(facts->frame);
    choice->values = std::move(facts->values);
    if (plan.kind == CertificateKind::sampled) {
      planner.settle_sampled(*choice);
    } else {
      planner.settle(*choice, facts->extent);
    }
    planner.decision.polynomial = std::move(choice);
  }
  planner.spread_over_threads();
  return std::move(planner.decision);
}

}  // namespace

/// Every candidate, from the facts.
void Planner::weigh() {
  engines::Frame& frame = known->frame;
  const engines::ValueRange& values = known->values;
  statistics(known->extent, frame, values);
  plan().tolerance = absolute_tolerance(request.tolerance, values.range());
  exact_candidates(&frame, &known->extent, &values);
  if (request.tolerance.value > 0.0) {  // the yardstick: the fastest exact arithmetic that meets the tolerance
    plan().exact_seconds = kInfinity;
    for (const Candidate& candidate : plan().candidates) {
      if (candidate.engine == Engine::exact && candidate.usable) {
        plan().exact_seconds = std::min(plan().exact_seconds, candidate.seconds);
      }
    }
  }
  if (frame.visible_keys > 0 && request.engine != Engine::exact && engines::supports_polynomial(problem)) {
    polynomial_candidates(frame, values, known->extent);
    sampled_candidates();
  }
  refuse_missing_engines();
  if (request.engine == Engine::polynomial && frame.visible_keys == 0) {
    plan().candidates.push_back(nothing_to_do(request, "no key is visible"));
  }
}

void Planner::explain() {
  std::string& why = plan().why;
  if (request.engine != Engine::automatic) {
    why = "asked for by name";
  } else if (plan().engine == Engine::polynomial) {
    why = std::string(plan().kind == CertificateKind::sampled ? "expected to meet" : "certifies") +
          " the tolerance at " + share_of_exact(plan()) + outlying_note();
  } else {
    why = !eligible                 ? ineligible
          : plan().tolerance == 0.0 ? "the values do not vary: exact in float64"
                                    : "no approximate engine is cheaper at this tolerance";
  }
}

HeadDecision decide_whole(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                          const Domain* domain) {
  std::optional<HeadFacts> facts;
  return decide_with(problem, request, context, domain, facts, true);
}

namespace {

/// Exact, of which nothing was measured; with a grid asked for by name its place is taken by rows that go to exact.
HeadDecision decide_unseen(const engines::HeadProblem& problem, const Request& request, const base::Context& context) {
  Request exact = request;
  exact.engine = Engine::exact;
  Planner planner = make_planner(problem, exact, context, nullptr);
  planner.exact_candidates(nullptr, nullptr, nullptr);
  planner.choose();
  planner.spread_over_threads();
  return std::move(planner.decision);
}

/// The grid's turn after all others: the choice, or a candidate that says why not.
void consider_grid(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                   bool may_try, GridTry& grid, HeadDecision& decision) {
  if (may_try && try_grid(problem, request, context, false, grid, decision)) {
    return;
  }
  Candidate candidate;
  candidate.engine = Engine::grid;
  candidate.arithmetic = Arithmetic::float64;
  candidate.seconds = grid.sketch ? grid.sketch->seconds / std::max(1, context.threads) : kInfinity;
  candidate.predicted_bound = kInfinity;
  candidate.reason = !may_try ? "not for this head and these options" : grid.sketch ? "dearer" : "no grid serves a row";
  decision.plan.candidates.push_back(candidate);
}

/// A grid's decision, for a full report with everything in its plan that a look at the head says of the other engines:
/// the report does not change the choice.
HeadDecision report_fully(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                          HeadDecision chosen) {
  if (!request.full_report || request.engine == Engine::grid) {
    return chosen;
  }
  std::optional<HeadFacts> facts;
  HeadDecision decision = decide_with(problem, request, context, nullptr, facts, false);
  const auto at = std::find_if(chosen.plan.candidates.begin(), chosen.plan.candidates.end(),
                               [](const Candidate& candidate) { return candidate.chosen; });
  choose(decision.plan, *at, "the grid", at->reason);
  decision.polynomial.reset();
  decision.sampled.reset();
  decision.grid = std::move(chosen.grid);
  return decision;
}

}  // namespace

HeadDecision decide(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                    const Domain* domain) {
  GridTry grid;
  const bool may_try = domain == nullptr && may_try_grid(problem, request);
  if (may_try || request.engine == Engine::grid) {
    HeadDecision unseen = decide_unseen(problem, request, context);
    if (may_try && try_grid(problem, request, context, true, grid, unseen)) {
      return report_fully(problem, request, context, std::move(unseen));
    }
    if (request.engine == Engine::grid) {
      refuse_grid(problem, unseen.plan);
      return unseen;
    }
  }
  std::optional<HeadFacts> facts;
  HeadDecision decision = decide_with(problem, request, context, domain, facts, true);
  if (domain == nullptr) {
    try_layers(problem, request, context, facts, true, decision);
    try_query_groups(problem, request, context, decision);
  }
  consider_grid(problem, request, context, may_try, grid, decision);
  return decision;
}

PlanSeries decide_each(const engines::HeadProblem& problem, const Request& request, std::span<const double> tolerances,
                       const base::Context& context) {
  std::optional<HeadFacts> facts;
  PlanSeries series;
  Request one = request;
  GridTry grid;
  for (const double tolerance : tolerances) {
    one.tolerance.value = tolerance;
    grid.sketch.reset();
    HeadPlan plan;
    bool reachable = true;
    try {
      HeadDecision unseen = decide_unseen(problem, one, context);
      const bool may_try = may_try_grid(problem, one);
      if (request.engine == Engine::grid) {
        plan = decide(problem, one, context, nullptr).plan;
      } else if (may_try && try_grid(problem, one, context, true, grid, unseen)) {
        plan = std::move(unseen.plan);
      } else {
        HeadDecision decision = decide_with(problem, one, context, nullptr, facts, false);
        try_layers(problem, one, context, facts, false, decision);
        try_query_groups(problem, one, context, decision);
        consider_grid(problem, one, context, may_try, grid, decision);
        plan = std::move(decision.plan);
      }
    } catch (const Error& error) {
      if (error.code() != ErrorCode::not_reachable) {
        throw;
      }
      reachable = false;
      plan.why = error.what();
    }
    series.plans.push_back(std::move(plan));
    series.reachable.push_back(reachable);
  }
  return series;
}

}  // namespace polyattn::planning
