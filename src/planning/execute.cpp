#include "planning/execution.hpp"

#include "base/error.hpp"
#include "engines/columns.hpp"
#include "engines/exact/exact.hpp"
#include "engines/finite.hpp"
#include "engines/polynomial/causal.hpp"
#include "engines/reference/reference.hpp"
#include "planning/grid_choice.hpp"
#include "planning/values.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

namespace polyattn::planning {

namespace {

using base::usize;
using engines::HeadProblem;
using engines::RowList;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

}  // namespace

bool Execution::row_meets(std::int64_t i) const noexcept {
  if (request.tolerance.value > 0.0 && tolerance > 0.0 && !(rows.bound(i) <= tolerance)) {
    return false;
  }
  const bool wants = request.lse_tolerance || request.density_tolerance;
  if (!wants || rows.lse[usize(i)] == -kInfinity) {
    return true;
  }
  const double bound = rows.lse_bound[usize(i)];
  const double density =
      std::expm1(bound) * (request.density_absolute ? std::exp(rows.lse[usize(i)]) : 1.0) * (1.0 + 1e-13);
  return (!request.lse_tolerance || bound <= *request.lse_tolerance) &&
         (!request.density_tolerance || density <= *request.density_tolerance);
}

void Execution::know_range(double range) noexcept {
  report.value_range = range;
  tolerance = absolute_tolerance(request.tolerance, range);
  report.tolerance = tolerance;
}

void Execution::not_reachable(std::int64_t count, double worst, const char* engine) const {
  base::fail(ErrorCode::not_reachable,
             "tolerance: " + base::text(tolerance) + " is not reachable by " + engine +
                 (request.output == DType::float32 ? " with a float32 output" : "") + " for " + std::to_string(count) +
                 " of " + std::to_string(problem.n_q()) + " rows of batch " + std::to_string(problem.batch) +
                 ", head " + std::to_string(problem.head) +
                 (std::isfinite(worst) ? "; its best proved bound there is " + base::text(worst) : ""));
}

void Execution::run_reference() {
  engines::require_finite_inputs(problem);
  engines::reference_rows(problem, RowList{}, outputs, context);
  std::fill(rows.engine.begin(), rows.engine.end(), Engine::reference);
  know_range(value_range(problem, nullptr, 0.0, context).range());
  std::int64_t missing = 0;
  double worst = 0.0;
  for (std::int64_t i = 0; i < problem.n_q(); ++i) {
    if (asks_for_bound() && !row_meets(i)) {
      ++missing;
      worst = std::max(worst, rows.bound(i));
    }
  }
  if (missing > 0) {
    not_reachable(missing, worst, "reference");
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
      not_reachable(refused, kNaN, (prepared ? alone + " (which serves the prepared domain only)" : alone).c_str());
    }
  }
  run_exact(std::move(failing), true);
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
  hand_over(std::move(failing));
}

namespace {

/// max over rows and columns of |T~ - mean(V)|, read back from the output.
/// Rows whose bound is 0 are passed over: they see no key, or all keys of the head have one value, which is the mean.
double distance_from_mean(const HeadProblem& problem, const base::RowSink& output, const RowArrays& arrays,
                          const std::vector<double>& mean, const base::Context& context) {
  constexpr std::int64_t kRows = 1024;
  if (problem.n_kv() == 0 || problem.value_dim() == 0 || problem.n_q() == 0) {
    return 0.0;
  }
  base::Rows rows;
  rows.pieces.push_back({output.data, output.dtype, 0, problem.n_q(), output.row_stride, output.column_stride});
  rows.rows = problem.n_q();
  rows.columns = problem.value_dim();
  std::vector<double> largest(usize(base::blocks_of(problem.n_q(), kRows)), 0.0);
  base::parallel_for(context, static_cast<std::int64_t>(largest.size()), [&](std::int64_t block, int) {
    const std::int64_t first = block * kRows;
    const std::int64_t count = std::min(kRows, problem.n_q() - first);
    const std::int64_t ld = base::round_up_to(count, 8);
    std::vector<double> values(usize(ld * rows.columns), 0.0);
    std::vector<double> unused(usize(ld));
    engines::load_columns(rows, first, count, values.data(), ld);
    for (std::size_t c = 0; c < mean.size(); ++c) {
      double* column = values.data() + c * usize(ld);
      for (std::int64_t r = 0; r < ld; ++r) {
        const bool counts = r < count && !(arrays.bound(first + r) == 0.0 && arrays.stored(first + r) == 0.0);
        column[r] = counts ? column[r] : mean[c];
      }
      const double half = simd::kernels().statistics.measure({column, ld, mean[c], 0.0, unused.data()}).half;
      largest[usize(block)] = std::max(largest[usize(block)], half);
    }
  });
  return *std::max_element(largest.begin(), largest.end());
}

}  // namespace

namespace {

/// The first row of the largest bound, or the first whose bound is NaN: in lanes, block by block, then within one
/// block.
std::int64_t worst_row(const RowArrays& rows, std::int64_t count) noexcept {
  constexpr std::int64_t kBlock = 512;
  constexpr std::int64_t kLanes = 8;
  double largest = -kInfinity;
  std::int64_t first = 0;  // of the block that has it
  bool known = true;
  for (std::int64_t begin = 0; begin < count && known; begin += kBlock) {
    const std::int64_t end = std::min(count, begin + kBlock);
    double lanes[kLanes];
    double poison[kLanes];
    std::fill_n(lanes, kLanes, -kInfinity);
    std::fill_n(poison, kLanes, 0.0);
    const auto take = [&](std::int64_t lane, double bound) {
      lanes[lane] = bound > lanes[lane] ? bound : lanes[lane];
      poison[lane] = bound == bound ? poison[lane] : 1.0;
    };
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      for (std::int64_t lane = 0; lane < kLanes; ++lane) {
        take(lane, rows.bound(i + lane));
      }
    }
    for (; i < end; ++i) {
      take(0, rows.bound(i));
    }
    known = *std::max_element(poison, poison + kLanes) == 0.0;
    const double most = *std::max_element(lanes, lanes + kLanes);
    if (most > largest || !known) {
      largest = most;
      first = begin;
    }
  }
  for (std::int64_t i = first; i < count; ++i) {
    if (known ? rows.bound(i) == largest : std::isnan(rows.bound(i))) {
      return i;
    }
  }
  return 0;
}

}  // namespace

void Execution::finish(double* row_bounds, Engine* row_engine, double seconds) {
  report.rows_total = problem.n_q();
  Certificate& certificate = report.certificate;
  const std::int64_t worst = worst_row(rows, problem.n_q());
  if (problem.n_q() > 0) {
    certificate.approximation = rows.approximation[usize(worst)];
    certificate.rounding = rows.rounding[usize(worst)];
  }
  const auto largest = [](const auto& array) {
    return std::accumulate(array.begin(), array.end(), 0.0, [](double a, double b) { return std::max(a, b); });
  };
  certificate.storage = std::max(certificate.storage, largest(rows.storage));
  certificate.relative = rows.relative.size() > 0 ? largest(rows.relative) : kInfinity;
  const std::array<std::pair<Engine, std::int64_t*>, 4> counts{{{Engine::grid, &report.rows_grid},
                                                                {Engine::exact, &report.rows_exact},
                                                                {Engine::polynomial, &report.rows_polynomial},
                                                                {Engine::reference, &report.rows_reference}}};
  std::int64_t left = problem.n_q();
  for (const auto& [engine, number] : counts) {
    const std::int64_t found = left > 0 ? std::count(rows.engine.begin(), rows.engine.end(), engine) : 0;
    *number += found;
    left -= found;
  }
  for (std::int64_t i = 0; i < problem.n_q() && outputs.lse_bound != nullptr; ++i) {
    if (outputs.lse[i] != -kInfinity) {
      report.lse_bound = std::max(report.lse_bound, outputs.lse_bound[i]);
    }
  }
  for (std::int64_t i = 0; i < problem.n_q() && row_bounds != nullptr; ++i) {
    row_bounds[i] = rows.bound(i);
  }
  if (row_engine != nullptr) {
    std::copy(rows.engine.begin(), rows.engine.end(), row_engine);
  }
  report.seconds = seconds;
}

double predicted_work(const HeadProblem& problem, const HeadDecision& decision) {
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
  if (mean.empty()) {
    mean = mean_value(problem, context);
  }
  run.report.mean_answer_error = distance_from_mean(problem, out.output, run.rows, mean, context);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  run.finish(out.row_bounds, out.row_engine, seconds);
  if (out.lse != nullptr) {
    std::copy(run.rows.lse.begin(), run.rows.lse.end(), out.lse);
  }
  if (out.lse_bound != nullptr && want_lse) {
    std::copy(run.rows.lse_bound.begin(), run.rows.lse_bound.end(), out.lse_bound);
  }
  return run.report;
}

}  // namespace polyattn::planning
