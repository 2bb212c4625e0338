// Planning of one head by exact and polynomials: whether to look closer, the candidates, and the choice among them.

#include "planning/planner.hpp"

#include "base/error.hpp"
#include "engines/capabilities.hpp"
#include "planning/chosen.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

namespace polyattn::planning {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Below this predicted time of the exact engine a statistics pass could not pay for itself.
constexpr double kSmallProblemSeconds = 3e-4;

}  // namespace

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

void Planner::choose() { choose_cheapest(plan(), request.engine); }

/// Predictions so far are of one thread; all engines share their work out well.
void Planner::spread_over_threads() noexcept { planning::spread_over_threads(plan(), context.threads); }

double absolute_tolerance(const Tolerance& tolerance, double range) noexcept {
  return tolerance.kind == ToleranceKind::absolute ? tolerance.value : tolerance.value * range;
}

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

namespace {

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
    return "polynomials have none of these masks or soft-capping";
  }
  if (seen.worth) {
    return "too small for a statistics pass to pay";
  }
  return seen.degree < 0 ? "no degree that might do is cheaper than exact, going by a few rows"
                         : "degree " + std::to_string(seen.degree) +
                               " or more would be needed, going by a few rows: no cheaper than exact, search included";
}

}  // namespace

HeadDecision decide_with(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                         const Domain* domain, std::optional<HeadFacts>& facts, bool settle,
                         const std::optional<Glance>& glanced) {
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
    seen = glanced ? *glanced : glance(problem, request, planner.cost, planner.queries, planner.pairs);
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

}  // namespace polyattn::planning
