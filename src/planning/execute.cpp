#include "planning/execution.hpp"

#include "base/error.hpp"
#include "engines/exact/exact.hpp"
#include "engines/finite.hpp"
#include "engines/polynomial/causal.hpp"
#include "engines/reference/reference.hpp"
#include "planning/grid_choice.hpp"
#include "planning/near_choice.hpp"
#include "planning/values.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <limits>
#include <optional>

namespace polyattn::planning {

namespace {

using base::usize;
using engines::HeadProblem;
using engines::RowList;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

}  // namespace

bool Execution::row_meets(std::int64_t i) const noexcept { return planning::row_meets(request, rows, tolerance, i); }

void Execution::know_range(double range) noexcept {
  report.value_range = range;
  tolerance = absolute_tolerance(request.tolerance, range);
  report.tolerance = tolerance;
}

void Execution::run_reference() {
  engines::require_finite_inputs(problem);
  engines::reference_rows(problem, RowList{}, outputs, context);
  std::fill(rows.engine.begin(), rows.engine.end(), Engine::reference);
  know_range(value_range(problem, nullptr, 0.0, context).range());
  std::vector<std::int64_t> missing;
  for (std::int64_t i = 0; i < problem.n_q(); ++i) {
    if (asks_for_bound() && !row_meets(i)) {
      missing.push_back(i);
    }
  }
  if (!missing.empty()) {
    fail_not_reachable(report, request, rows, missing, "reference");
  }
}

engines::Acceptance Execution::acceptance() const noexcept {
  engines::Acceptance acceptance;
  acceptance.lse_tolerance = request.lse_tolerance.value_or(kInfinity);
  acceptance.density_tolerance = request.density_tolerance.value_or(kInfinity);
  acceptance.density_absolute = request.density_absolute;
  return acceptance;
}

template <class T>
void Execution::evaluate_as(const PolynomialChoice& choice, const engines::FeatureList& features,
                            const engines::PolynomialTable& table, const engines::Acceptance& acceptance,
                            std::vector<std::uint8_t>& answered) {
  engines::EvaluationSummary summary;
  if (problem.mask.causal) {
    summary = engines::causal_rows<T>(problem, choice.frame, choice.values, features, table, acceptance, outputs,
                                      answered, context);
  } else {
    std::shared_ptr<const engines::PreparedMoments<T>> moments;
    if constexpr (std::is_same_v<T, float>) {
      moments = choice.moments32;
    } else {
      moments = choice.moments64;
    }
    if (moments == nullptr) {
      engines::MomentTotals totals = engines::make_totals(features, context.memory);
      engines::sum_moments<T>(problem, choice.frame, choice.values, features, 0, context, totals);
      moments = std::make_shared<const engines::PreparedMoments<T>>(
          engines::prepare_moments<T>(choice.frame, choice.values, features, table, totals, context.memory));
    }
    summary = engines::evaluate_rows<T>(problem, choice.frame, choice.values, *moments, acceptance, outputs, answered,
                                        context);
  }
  if (summary.answered > 0) {
    report.smallest_denominator = summary.smallest_denominator;
  }
  for (std::size_t i = 0; i < answered.size(); ++i) {
    rows.engine[i] = answered[i] != 0 ? Engine::polynomial : Engine::exact;
  }
}

void Execution::evaluate(Arithmetic arithmetic, const engines::FeatureList& features,
                         const engines::PolynomialTable& table, const engines::Acceptance& acceptance,
                         std::vector<std::uint8_t>& answered) {
  const PolynomialChoice& choice = *decision.polynomial;
  if (arithmetic == Arithmetic::float32) {
    evaluate_as<float>(choice, features, table, acceptance, answered);
  } else {
    evaluate_as<double>(choice, features, table, acceptance, answered);
  }
}

bool Execution::sees_nothing(std::int64_t row) const {
  if (decision.polynomial == nullptr) {
    return decision.grid != nullptr && decision.grid->head.keys.points() == 0;
  }
  const engines::Frame& frame = decision.polynomial->frame;
  const auto& log_weight = frame.log_weight;  // of prepared keys it is not kept, but their rows see all keys
  const auto first = std::find_if(log_weight.begin(), log_weight.end(), [](double w) { return w != -kInfinity; });
  const auto hidden = static_cast<std::int64_t>(first - log_weight.begin());
  return problem.mask.causal ? problem.mask.visible(row, problem.n_kv()) <= hidden : frame.visible_keys == 0;
}

void Execution::hand_over(std::vector<std::int64_t> list) {
  if (list.empty()) {
    return;
  }
  RowList failing;
  failing.all = false;
  failing.rows = std::move(list);
  failing.targets = failing.rows;
  std::vector<std::int64_t> blind;  // they see no key: zero, whoever writes it
  std::copy_if(failing.rows.begin(), failing.rows.end(), std::back_inserter(blind),
               [&](std::int64_t row) { return sees_nothing(row); });
  if (request.strict && request.engine == decision.plan.engine) {
    const auto refused = static_cast<std::int64_t>(failing.rows.size() - blind.size());
    if (refused > 0) {
      const PolynomialChoice* choice = decision.polynomial.get();
      const bool prepared = choice != nullptr && (choice->moments32 != nullptr || choice->moments64 != nullptr);
      const std::string alone = std::string(name_of(decision.plan.engine)) + " alone";
      fail_not_reachable(report, request.output, refused, problem.n_q(),
                         (prepared ? alone + " (which serves the prepared domain only)" : alone).c_str());
    }
  }
  const bool all = request.engine == Engine::automatic && blind.empty() &&
                   static_cast<std::int64_t>(failing.rows.size()) == problem.n_q();
  run_exact(std::move(failing), !all);
  if (all) {
    credit_exact(report);
  }
  for (const std::int64_t row : blind) {
    rows.engine[usize(row)] = decision.plan.engine;
  }
}

void Execution::run_polynomial() {
  const HeadPlan& plan = decision.plan;
  const PolynomialChoice& choice = *decision.polynomial;
  report.degree = plan.degree;
  report.rank = plan.rank;
  report.radius_before = plan.statistics.radius_before;
  report.radius_after = plan.statistics.radius_after;
  report.arithmetic = plan.arithmetic;
  know_range(choice.values.range());
  if (decision.sampled != nullptr) {
    run_sampled();
    return;
  }
  engines::Acceptance wanted = acceptance();
  if (request.tolerance.value > 0.0 || request.engine == Engine::polynomial) {
    wanted.tolerance = tolerance;
  }
  if (!decision.groups.empty()) {
    run_groups(wanted);
    return;
  }
  if (decision.layers != nullptr) {
    run_layers(wanted);
    return;
  }
  std::vector<std::uint8_t> answered(usize(problem.n_q()), 0);
  evaluate(plan.arithmetic, choice.features, choice.table, wanted, answered);
  keep_answered(answered);
}

void Execution::keep_answered(const std::vector<std::uint8_t>& answered, Engine engine) {
  std::vector<std::int64_t> failing;
  if (std::find(answered.begin(), answered.end(), std::uint8_t{0}) == answered.end()) {
    std::fill(rows.engine.begin(), rows.engine.end(), engine);
    return;
  }
  for (std::int64_t i = 0; i < problem.n_q(); ++i) {
    if (answered[usize(i)] != 0) {
      rows.engine[usize(i)] = engine;
    } else {
      failing.push_back(i);
    }
  }
  if (engine == Engine::grid) {
    rest_by_near(failing);
  }
  hand_over(std::move(failing));
}

double predicted_work(const HeadProblem& problem, const HeadDecision& decision) {
  if (decision.near != nullptr) {
    return near_work(problem, *decision.near);
  }
  if (decision.grid != nullptr) {
    return grid_work(problem, *decision.grid);
  }
  if (decision.polynomial == nullptr) {
    return engines::exact_work(engines::visible_pairs(problem, RowList{}), problem.dim(), problem.value_dim());
  }
  double work = 0.0;
  for (const QueryGroup& part : decision.groups) {
    if (part.polynomial != nullptr) {
      work +=
          static_cast<double>(part.problem.n_q() + problem.n_kv()) * engines::moment_work(part.polynomial->features);
    }
  }
  const auto tokens = static_cast<double>(problem.n_q() + problem.n_kv());
  if (decision.layers != nullptr) {
    return tokens * layer_work(problem, decision.layers->shape);
  }
  return decision.groups.empty() ? tokens * engines::moment_work(decision.polynomial->features) : work;
}

HeadReport execute(HeadGroup& group, const HeadProblem& problem, const HeadDecision& decision, const Request& request,
                   const HeadDestinations& out, const base::Context& context) {
  const auto start = std::chrono::steady_clock::now();
  const bool want_lse = out.lse != nullptr || out.lse_bound != nullptr || request.want_lse || request.lse_tolerance ||
                        request.density_tolerance;
  const bool sixteen_bits = out.output.dtype == DType::float16 || out.output.dtype == DType::bfloat16;
  // Approximate engines bound no relative error.
  const bool known = decision.plan.engine != Engine::polynomial && decision.plan.engine != Engine::grid;
  Execution run{group,   problem, decision,
                request, context, RowArrays(problem.n_q(), want_lse, sixteen_bits, known, context.memory),
                {},      {},      0.0};
  run.outputs.output = out.output;
  run.outputs.lse = want_lse ? run.rows.lse.data() : nullptr;
  run.outputs.lse_bound = want_lse ? run.rows.lse_bound.data() : nullptr;
  run.outputs.row_max = out.row_max;
  run.outputs.approximation = run.rows.approximation.data();
  run.outputs.rounding = run.rows.rounding.data();
  run.outputs.storage = sixteen_bits ? run.rows.storage.data() : nullptr;
  run.outputs.relative = known ? run.rows.relative.data() : nullptr;
  const HeadPlan& plan = decision.plan;
  run.report.batch = problem.batch;
  run.report.head = problem.head;
  run.report.engine = plan.engine;
  run.report.arithmetic = plan.arithmetic;
  run.report.why = plan.why;
  run.report.predicted_seconds = plan.predicted_seconds;
  run.report.radius_before = plan.statistics_known ? plan.statistics.radius_before : kNaN;
  run.report.radius_after = plan.statistics_known ? plan.statistics.radius_after : kNaN;
  run.know_range(0.0);
  if (problem.n_q() > 0) {
    if (plan.engine == Engine::reference) {
      run.run_reference();
    } else if (plan.engine == Engine::polynomial && decision.polynomial != nullptr) {
      run.run_polynomial();
    } else if (plan.engine == Engine::grid) {
      run.run_grid();
    } else {
      run.run_exact(RowList{}, false);
    }
  }
  std::vector<double> mean = run.value_sum;
  std::transform(mean.begin(), mean.end(), mean.begin(),
                 [&](double sum) { return sum / static_cast<double>(run.visible); });
  if (mean.empty() && decision.polynomial != nullptr) {
    mean = decision.polynomial->values.mean;
  }
  if (mean.empty() && decision.grid != nullptr) {
    mean = decision.grid->values.mean;
  }
  if (mean.empty() && decision.near != nullptr) {
    mean = decision.near->values.mean;
  }
  if (mean.empty()) {
    mean = mean_value(problem, context);
  }
  if (problem.n_kv() > 0) {
    run.report.mean_answer_error = distance_from_mean(out.output, problem.n_q(), run.rows, mean, context);
  }
  run.report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  summarise(run.rows, problem.n_q(), run.report, out.row_bounds, out.row_engine);
  if (out.lse != nullptr) {
    std::copy(run.rows.lse.begin(), run.rows.lse.end(), out.lse);
  }
  if (out.lse_bound != nullptr && want_lse) {
    std::copy(run.rows.lse_bound.begin(), run.rows.lse_bound.end(), out.lse_bound);
  }
  return run.report;
}

}  // namespace polyattn::planning
