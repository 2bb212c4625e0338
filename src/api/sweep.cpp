// Several tolerances for one set of inputs: what each would take.

#include "api/plan_state.hpp"
#include "api/tuple_calls.hpp"
#include "base/error.hpp"
#include "base/float_environment.hpp"
#include "planning/values.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace polyattn {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

SweepRow sweep_row(double asked, const HeadPlan& plan, bool reachable) {
  SweepRow row;
  row.asked = asked;
  row.tolerance = plan.tolerance;
  row.why = plan.why;
  // The planner takes exact in float64 as the last resort even where its bound says no.
  row.reachable =
      reachable && (asked == 0.0 || plan.engine != Engine::exact || !(plan.predicted_bound > plan.tolerance) ||
                    !plan.statistics_known || plan.tolerance == 0.0);
  if (!reachable) {
    row.predicted_bound = row.predicted_seconds = row.predicted_bytes = row.exact_seconds = kInfinity;
    return row;
  }
  row.engine = plan.engine;
  row.arithmetic = plan.arithmetic;
  row.degree = plan.degree;
  row.rank = plan.rank;
  row.predicted_bound = plan.predicted_bound;
  row.predicted_seconds = plan.predicted_seconds;
  row.predicted_bytes = plan.predicted_bytes;
  row.exact_seconds = plan.exact_seconds;
  row.fallback_share = plan.fallback_share;
  row.kind = plan.kind;
  return row;
}

void check_tolerances(std::span<const double> tolerances) {
  if (tolerances.empty()) {
    base::fail(ErrorCode::invalid_argument, "tolerances", "at least one", "none");
  }
  for (const double tolerance : tolerances) {
    if (!(std::isfinite(tolerance) && tolerance >= 0.0)) {
      base::fail(ErrorCode::invalid_argument, "tolerances", "finite numbers of at least 0", base::text(tolerance));
    }
  }
}

/// A head under every tolerance.
HeadSweep sweep_head(const detail::PlanState& state, std::size_t i, std::span<const double> tolerances,
                     const base::Context& context) {
  HeadSweep head;
  planning::PlanSeries series;
  HeadPlan mean;
  if (state.tuples.empty()) {
    const engines::HeadProblem& problem = state.problems[i];
    planning::require_bias(problem);
    series = planning::decide_each(problem, state.request, tolerances, context);
    api::estimate_mean_answer(problem, mean, context);
    head.batch = problem.batch;
    head.head = problem.head;
  } else {
    const engines::TupleProblem& problem = state.tuples[i];
    planning::MeasuredTuples measured = planning::look_at_tuples(problem, context);
    series = planning::decide_each_tuple(problem, state.request, tolerances, measured, context);
    api::estimate_mean_answer(problem, measured.facts, mean, context);
    head.batch = problem.batch;
    head.head = problem.head;
    head.order = static_cast<int>(problem.order());
  }
  head.mean_answer_error = mean.mean_answer_error;
  for (std::size_t t = 0; t < tolerances.size(); ++t) {
    const HeadPlan& plan = series.plans[t];
    head.rows.push_back(sweep_row(tolerances[t], plan, series.reachable[t]));
    if (series.reachable[t] && !head.statistics_known) {
      head.statistics = plan.statistics;
      head.statistics_known = plan.statistics_known;
    }
  }
  return head;
}

}  // namespace

SweepReport sweep(const ConstView& q, std::span<const ConstView> keys, std::span<const ConstView> values,
                  std::span<const double> tolerances, const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  check_tolerances(tolerances);
  Options own = options;
  own.tolerance.value = *std::max_element(tolerances.begin(), tolerances.end());
  const auto state = api::make_state(q, keys, values, own);
  state->request.full_report = true;
  const base::Context context{api::thread_count(options), state->memory.get(), nullptr};
  SweepReport report;
  report.heads.resize(state->heads());
  api::for_each_head(context, static_cast<std::int64_t>(state->heads()),
                     [&](std::int64_t i, const base::Context& inner) {
                       const base::FloatEnvironment environment;
                       report.heads[base::usize(i)] = sweep_head(*state, base::usize(i), tolerances, inner);
                     });
  report.instruction_set = simd::kernels().name;
  report.threads = context.threads;
  report.planning_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace polyattn
