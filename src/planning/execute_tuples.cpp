#include "planning/tuple_execution.hpp"

#include "engines/reference/tuples.hpp"
#include "engines/tuples/exact.hpp"

#include <algorithm>
#include <chrono>
#include <type_traits>
#include <utility>

namespace polyattn::planning {

namespace {

using engines::RowList;
using engines::TupleProblem;

/// Of so many rows one is tried before float32 answers them all.
constexpr std::int64_t kRowsForATry = 32;
constexpr std::int64_t kMostTries = 16;

}  // namespace

void TupleExecution::run_reference() {
  engines::reference_tuples(problem, RowList{}, outputs, context);
  std::fill(rows.engine.begin(), rows.engine.end(), Engine::reference);
  std::vector<std::int64_t> missing;
  for (std::int64_t i = 0; i < problem.n_q(); ++i) {
    if (asks_for_bound() && !meets(i)) {
      missing.push_back(i);
    }
  }
  if (!missing.empty()) {
    fail_not_reachable(report, request, rows, missing, "reference");
  }
}

/// Whether most of a few rows miss the tolerance in float32, where the a-priori bound does. Which rows float32 answers
/// then depends on the others; what it answers does not.
template <class T>
bool TupleExecution::most_miss(const RowList& list) {
  const bool sure = decision.float32_bound <= report.tolerance && !request.lse_tolerance && !request.density_tolerance;
  const std::int64_t count = list.count(problem.n_q());
  const std::int64_t tries = std::min(kMostTries, count / kRowsForATry);
  if (!std::is_same_v<T, float> || !asks_for_bound() || sure || tries == 0) {
    return false;
  }
  const RowList some = some_of(list, count, tries);
  engines::exact_tuples<T>(problem, some, outputs, context);
  const auto misses =
      std::count_if(some.targets.begin(), some.targets.end(), [&](std::int64_t row) { return !meets(row); });
  return 2 * misses > tries;
}

template <class T>
RowList TupleExecution::exact_pass(const RowList& list, bool last) {
  // A range of 0 asks for float64.
  if (!last && ((request.tolerance.value > 0.0 && report.tolerance == 0.0) || most_miss<T>(list))) {
    return list;
  }
  engines::exact_tuples<T>(problem, list, outputs, context);
  return missed_by_exact<T>(list, request, report, problem.non_finite, last, rows);
}

void TupleExecution::run_exact(RowList list, bool handed_over) {
  Arithmetic arithmetic = decision.exact_arithmetic;
  // Rows handed over by an engine with a pinned arithmetic may use whichever suffices.
  if (handed_over && request.engine == Engine::polynomial) {
    arithmetic = Arithmetic::automatic;
  }
  const bool free = arithmetic == Arithmetic::automatic;
  if (free && !asks_for_bound()) {
    arithmetic = request.native_float32 ? Arithmetic::float32 : Arithmetic::float64;
  }
  RowList missing = std::move(list);
  Arithmetic used = Arithmetic::float64;
  if (arithmetic != Arithmetic::float64) {
    const std::int64_t before = missing.count(problem.n_q());
    missing = exact_pass<float>(missing, !free);
    if (missing.count(problem.n_q()) < before || before == 0) {
      used = Arithmetic::float32;
    }
    if (!free && !missing.rows.empty()) {  // the last pass leaves a list, never all
      fail_not_reachable(report, request, rows, missing.rows, "exact in float32");
    }
  }
  if (missing.all || !missing.rows.empty()) {
    used = Arithmetic::float64;
    missing = exact_pass<double>(missing, true);
    // Without values too, unlike at order 2: no density of order k makes up for what is missed.
    if (!missing.rows.empty()) {
      fail_not_reachable(report, request, rows, missing.rows, "exact in float64");
    }
  }
  if (!handed_over) {
    report.arithmetic = used;
  }
}

double predicted_tuple_work(const TupleProblem& problem, const TupleDecision& decision) {
  if (decision.plan.engine == Engine::reference) {
    return engines::reference_tuple_work(problem, RowList{});
  }
  if (decision.polynomials != nullptr) {
    const engines::TupleChoice& choice = decision.polynomials->choice;
    return decision.polynomials->sums != nullptr
               ? engines::tuple_row_work(problem, choice, static_cast<double>(problem.n_q()))
               : engines::tuple_work(problem, choice);
  }
  return engines::exact_tuple_work(problem, RowList{});
}

HeadReport execute_tuples(const TupleProblem& problem, const TupleDecision& decision, const Request& request,
                          const HeadDestinations& out, const base::Context& context) {
  const auto start = std::chrono::steady_clock::now();
  const bool want_lse = out.lse != nullptr || out.lse_bound != nullptr || request.want_lse || request.lse_tolerance ||
                        request.density_tolerance;
  const bool sixteen_bits = out.output.dtype == DType::float16 || out.output.dtype == DType::bfloat16;
  const HeadPlan& plan = decision.plan;
  const bool known = plan.engine != Engine::polynomial;  // which bounds no relative error
  TupleExecution run{problem, decision, request, context,
                     RowArrays(problem.n_q(), want_lse, sixteen_bits, known, context.memory)};
  run.outputs.output = out.output;
  run.outputs.lse = want_lse ? run.rows.lse.data() : nullptr;
  run.outputs.lse_bound = want_lse ? run.rows.lse_bound.data() : nullptr;
  run.outputs.row_max = out.row_max;
  run.outputs.approximation = run.rows.approximation.data();
  run.outputs.rounding = run.rows.rounding.data();
  run.outputs.storage = sixteen_bits ? run.rows.storage.data() : nullptr;
  run.outputs.relative = known ? run.rows.relative.data() : nullptr;
  HeadReport& report = run.report;
  report.batch = problem.batch;
  report.head = problem.head;
  report.order = plan.order;
  report.engine = plan.engine;
  report.arithmetic = plan.arithmetic;
  report.why = plan.why;
  report.predicted_seconds = plan.predicted_seconds;
  report.radius_before = plan.statistics.radius_before;
  report.radius_after = plan.statistics.radius_after;
  report.value_range = plan.statistics.value_range;
  report.tolerance = plan.tolerance;
  if (problem.n_q() > 0) {
    if (plan.engine == Engine::reference) {
      run.run_reference();
    } else if (plan.engine == Engine::polynomial) {
      run.run_polynomial();
    } else {
      run.run_exact(RowList{}, false);
    }
  }
  if (!decision.facts.empty()) {
    report.mean_answer_error = distance_from_mean(out.output, problem.n_q(), run.rows, decision.facts.mean, context);
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  summarise(run.rows, problem.n_q(), report, out.row_bounds, out.row_engine);
  if (out.lse != nullptr) {
    std::copy(run.rows.lse.begin(), run.rows.lse.end(), out.lse);
  }
  if (out.lse_bound != nullptr) {
    std::copy(run.rows.lse_bound.begin(), run.rows.lse_bound.end(), out.lse_bound);
  }
  return run.report;
}

}  // namespace polyattn::planning
