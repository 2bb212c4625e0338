#include "planning/tuple_plan.hpp"

#include "base/error.hpp"
#include "engines/tuple_sets.hpp"
#include "planning/chosen.hpp"
#include "planning/cost_model.hpp"
#include "planning/planner.hpp"
#include "planning/tuple_planner.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

namespace polyattn::planning {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kReferenceSlowness = 30.0;

}  // namespace

MeasuredTuples look_at_tuples(const engines::TupleProblem& problem, const base::Context& context) {
  return {measure_tuples(problem, context), engines::visible_tuples(problem, engines::RowList{})};
}

TuplePlanner::TuplePlanner(const engines::TupleProblem& given, const Request& asked, const base::Context& run,
                           MeasuredTuples& measured_before)
    : problem(given),
      request(asked),
      context(run),
      known(measured_before),
      cost(asked.calibration, 1),
      rows(static_cast<double>(given.n_q())) {
  decision.facts = known.facts;
  decision.exact_arithmetic = request.arithmetic;
  HeadPlan& head = plan();
  head.batch = problem.batch;
  head.head = problem.head;
  head.order = static_cast<int>(problem.order());
  head.statistics = tuple_statistics(problem, decision.facts);
  head.statistics_known = true;
  head.tolerance = absolute_tolerance(request.tolerance, decision.facts.range());
  nothing = decision.facts.empty() || known.tuples == 0.0;
}

double TuplePlanner::exact_seconds(double of_tuples, Arithmetic arithmetic) const noexcept {
  double longest = 1.0;  // set: the innermost
  for (const engines::KeySet& set : problem.sets) {
    longest = std::max(longest, static_cast<double>(set.size()));
  }
  return cost.tuple_seconds(problem, of_tuples, of_tuples / longest, arithmetic);
}

void TuplePlanner::reference_candidate() {
  Candidate reference;
  reference.engine = Engine::reference;
  reference.arithmetic = Arithmetic::float64;
  reference.seconds = exact_seconds(known.tuples, Arithmetic::float64) * kReferenceSlowness;
  reference.usable = true;
  reference.reason = "textbook loops, asked for by name";
  plan().exact_seconds = exact_seconds(known.tuples, Arithmetic::float64);
  plan().candidates.push_back(reference);
}

void TuplePlanner::exact_candidates() {
  const bool asks = request.tolerance.value > 0.0;
  double fastest = kInfinity;
  for (const Arithmetic arithmetic : arithmetics(request)) {
    const bool single = arithmetic == Arithmetic::float32;
    Candidate exact;
    exact.engine = Engine::exact;
    exact.arithmetic = arithmetic;
    exact.seconds = exact_seconds(known.tuples, arithmetic);
    exact.bytes =
        static_cast<double>(engines::exact_tuple_bytes(problem, problem.n_q(), context.threads, single ? 4 : 8));
    exact.usable = true;
    if (!asks) {
      const bool native = request.arithmetic != Arithmetic::automatic || single == request.native_float32;
      exact.usable = native;
      exact.predicted_bound = exact.a_priori_bound = kInfinity;
      exact.reason = native ? "tolerance 0 asks for exact in the input's own type" : "not the input's own type";
    } else {
      if (!known.bounds) {
        known.bounds = engines::exact_tuple_bounds(problem, request.output);
      }
      const double bound = (single ? known.bounds->single : known.bounds->wide).rounding;
      decision.float32_bound = single ? bound : decision.float32_bound;
      exact.predicted_bound = exact.a_priori_bound = bound;
      const bool meets = bound <= plan().tolerance && (plan().tolerance > 0.0 || !single);
      exact.usable = meets || !single || request.arithmetic == Arithmetic::float32;
      exact.reason = meets ? "rounding bound meets the tolerance"
                           : "rounding bound " + base::text(bound) + " exceeds the tolerance";
    }
    fastest = exact.usable ? std::min(fastest, exact.seconds) : fastest;
    plan().candidates.push_back(exact);
  }
  plan().exact_seconds = fastest;
}

namespace {

TupleDecision decide_with(TuplePlanner& planner) {
  const Request& request = planner.request;
  HeadPlan& plan = planner.plan();
  if (request.engine == Engine::reference) {
    planner.reference_candidate();
  } else {
    planner.exact_candidates();
    planner.polynomial_candidates();
  }
  choose_cheapest(plan, request.engine);
  planner.explain();
  planner.settle();
  spread_over_threads(plan, planner.context.threads);
  return std::move(planner.decision);
}

TupleDecision decide_measured(const engines::TupleProblem& problem, const Request& request, MeasuredTuples& measured,
                              const base::Context& context) {
  TuplePlanner planner(problem, request, context, measured);
  return decide_with(planner);
}

}  // namespace

TupleDecision decide_tuples(const engines::TupleProblem& problem, const Request& request,
                            const base::Context& context) {
  MeasuredTuples measured = look_at_tuples(problem, context);
  return decide_measured(problem, request, measured, context);
}

TupleDecision prepare_tuples(const engines::TupleProblem& problem, const Request& request, double rows,
                             const base::Context& context) {
  MeasuredTuples measured = look_at_tuples(problem, context);
  TuplePlanner planner(problem, request, context, measured);
  if (problem.n_q() > 0) {
    planner.rows = rows;
    measured.tuples *= rows / static_cast<double>(problem.n_q());
  }
  TupleDecision decision = decide_with(planner);
  if (decision.polynomials != nullptr && decision.polynomials->frame->everything_seen) {
    auto with_sums = std::make_shared<TuplePolynomials>(*decision.polynomials);
    with_sums->sums = engines::sum_tuples(*with_sums->frame, with_sums->choice, context);
    decision.polynomials = std::move(with_sums);
  }
  return decision;
}

PlanSeries decide_each_tuple(const engines::TupleProblem& problem, const Request& request,
                             std::span<const double> tolerances, MeasuredTuples& measured,
                             const base::Context& context) {
  return decide_series(request, tolerances,
                       [&](const Request& one) { return decide_measured(problem, one, measured, context).plan; });
}

}  // namespace polyattn::planning
