#include "api/head_targets.hpp"
#include "api/plan_state.hpp"
#include "api/tuple_calls.hpp"
#include "api/validate_mask.hpp"
#include "base/error.hpp"
#include "base/float_environment.hpp"
#include "engines/exact/exact.hpp"
#include "planning/execute.hpp"
#include "planning/values.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace polyattn {

namespace api {

namespace {

using base::usize;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

HeadReport run_head(const detail::PlanState& state, std::size_t i, planning::HeadGroup& group, const Destinations& out,
                    const base::Context& context) {
  const engines::HeadProblem& problem = state.problems[i];
  HeadTargets targets(out, static_cast<std::int64_t>(i), problem.batch, problem.head, problem.n_q());
  HeadReport report =
      planning::execute(group, problem, state.decisions[i], state.request, targets.destinations(), context);
  targets.finish();
  return report;
}

/// Where groups of heads with the same keys begin, and the end.
std::vector<std::size_t> group_starts(const std::vector<engines::HeadProblem>& problems) {
  std::vector<std::size_t> starts;
  for (std::size_t i = 0; i < problems.size(); ++i) {
    if (i == 0 || !planning::share_keys(problems[i - 1], problems[i])) {
      starts.push_back(i);
    }
  }
  starts.push_back(problems.size());
  return starts;
}

/// Heads of order 2, those with the same keys one after the other.
void run_heads(const detail::PlanState& state, const Destinations& out, const base::Context& context, Report& report) {
  const std::vector<std::size_t> starts = group_starts(state.problems);
  for_each_head(context, static_cast<std::int64_t>(starts.size()) - 1, [&](std::int64_t g, const base::Context& inner) {
    const std::size_t first = starts[usize(g)];
    const std::size_t last = starts[usize(g) + 1];
    planning::HeadGroup group(std::span(state.problems).subspan(first, last - first));
    for (std::size_t i = first; i < last; ++i) {
      report.heads[i] = run_head(state, i, group, out, inner);
    }
  });
}

HeadPlan decide_head(detail::PlanState& state, std::size_t i, bool full, const base::Context& context) {
  const engines::HeadProblem& problem = state.problems[i];
  planning::require_bias(problem);
  planning::HeadDecision& decision = state.decisions[i];
  decision = planning::decide(problem, state.request, context);
  if (full) {
    estimate_mean_answer(problem, decision.plan, context);
  }
  return decision.plan;
}

void check_row_view(const char* name, const std::optional<View>& view, const detail::PlanState& state,
                    std::vector<ByteRange>& taken) {
  if (!view) {
    return;
  }
  if (view->dtype != DType::float64) {
    base::fail(ErrorCode::invalid_argument, name, "float64", name_of(view->dtype));
  }
  check_destination(name, *view, {state.shape.batch, state.shape.query_heads, state.shape.n_q, 1}, taken);
  taken.push_back(check_view(name, *view));
}

}  // namespace

int thread_count(const Options& options) noexcept {
  return options.threads == 0 ? base::hardware_threads() : options.threads;
}

void estimate_mean_answer(const engines::HeadProblem& problem, HeadPlan& plan, const base::Context& context) {
  constexpr std::int64_t kRows = 64;
  const std::int64_t count = std::min(kRows, problem.n_q());
  if (count == 0 || problem.n_kv() == 0 || problem.value_dim() == 0) {
    plan.mean_answer_error = 0.0;
    return;
  }
  engines::RowList rows;
  rows.all = false;
  for (std::int64_t i = 0; i < count; ++i) {
    rows.rows.push_back(i * problem.n_q() / count);
    rows.targets.push_back(i);
  }
  std::vector<double> answers(usize(count * problem.value_dim()));
  engines::HeadOutputs out;
  out.output = {answers.data(), DType::float64, problem.value_dim(), 1};
  engines::exact_head<double>(problem, rows, out, context);
  const std::vector<double> mean = planning::mean_value(problem, context);
  double largest = 0.0;
  for (std::int64_t i = 0; i < count; ++i) {
    if (!engines::sees_any_key(problem, rows.rows[usize(i)])) {
      continue;
    }
    for (std::size_t c = 0; c < mean.size(); ++c) {
      largest = std::max(largest, std::fabs(answers[usize(i) * mean.size() + c] - mean[c]));
    }
  }
  plan.mean_answer_error = largest;
  plan.mean_answer_rows = static_cast<int>(count);
}

void decide_heads(detail::PlanState& state, bool full) {
  const auto start = Clock::now();
  base::Context context{thread_count(state.options), state.memory.get(), nullptr};
  state.request.full_report = full;
  state.decisions.resize(state.problems.size());
  state.tuple_decisions.resize(state.tuples.size());
  state.report.heads.resize(state.heads());
  for_each_head(context, static_cast<std::int64_t>(state.heads()), [&](std::int64_t i, const base::Context& inner) {
    const base::FloatEnvironment environment;
    state.report.heads[usize(i)] = state.tuples.empty() ? decide_head(state, usize(i), full, inner)
                                                        : decide_tuple_head(state, usize(i), full, inner);
  });
  state.report.instruction_set = simd::kernels().name;
  state.report.threads = context.threads;
  for (const HeadPlan& plan : state.report.heads) {
    state.report.predicted_seconds += plan.predicted_seconds;
    state.report.predicted_bytes = std::max(state.report.predicted_bytes, plan.predicted_bytes);
  }
  if (state.report.predicted_bytes > static_cast<double>(state.options.max_memory)) {
    base::fail(ErrorCode::out_of_memory, "max_memory",
               "at least the predicted " + base::text(state.report.predicted_bytes) + " bytes",
               std::to_string(state.options.max_memory));
  }
  state.planning_seconds = seconds_since(start);
}

std::shared_ptr<detail::PlanState> make_state(const ConstView& q, std::span<const ConstView> keys,
                                              std::span<const ConstView> values, const Options& options) {
  const base::FloatEnvironment environment;
  const CallShape shape = check_shapes(q, keys, values);
  check_options(options, shape, keys.size());
  const std::int64_t rows = base::checked_product({shape.batch, shape.query_heads, shape.n_q}, "output");
  base::checked_mul(base::checked_mul(rows, shape.value_dim, "output"), 8, "output");
  auto state = std::make_shared<detail::PlanState>(options.max_memory);
  state->options = options;
  state->shape = shape;
  state->request = make_request(options, q, keys, values);
  state->inputs = mask_ranges(options.mask);
  state->inputs.push_back(check_view("q", q));
  for (const ConstView& view : keys) {
    state->inputs.push_back(check_view("keys", view));
  }
  for (const ConstView& view : values) {
    state->inputs.push_back(check_view("values", view));
  }
  if (keys.size() > 1) {
    state->tuples = make_tuple_problems(q, keys, values, options, shape);
  } else {
    state->problems = make_problems(q, keys, values, options, shape);
  }
  return state;
}

std::shared_ptr<detail::PlanState> make_plan(const ConstView& q, std::span<const ConstView> keys,
                                             std::span<const ConstView> values, const Options& options, bool full) {
  auto state = make_state(q, keys, values, options);
  decide_heads(*state, full);
  return state;
}

Report run_plan(const detail::PlanState& state, const Destinations& out, const Progress& progress) {
  const base::FloatEnvironment environment;
  const auto start = Clock::now();
  const CallShape& shape = state.shape;
  if (out.output.dtype != state.request.output) {
    base::fail(ErrorCode::invalid_argument, "output", name_of(state.request.output), name_of(out.output.dtype));
  }
  std::vector<ByteRange> taken = state.inputs;
  check_destination("output", out.output, {shape.batch, shape.query_heads, shape.n_q, shape.value_dim}, taken);
  taken.push_back(check_view("output", out.output));
  check_row_view("lse", out.lse, state, taken);
  check_row_view("lse_bound", out.lse_bound, state, taken);
  check_row_view("row_max", out.row_max, state, taken);
  check_row_view("row_bounds", out.row_bounds, state, taken);
  const std::int64_t rows = shape.batch * shape.query_heads * shape.n_q;
  if (!out.row_engine.empty() && static_cast<std::int64_t>(out.row_engine.size()) != rows) {
    base::fail(ErrorCode::invalid_argument, "row_engine", std::to_string(rows) + " entries",
               std::to_string(out.row_engine.size()));
  }
  if (out.row_max && !state.options.want_row_max) {
    base::fail(ErrorCode::invalid_argument, "row_max", "want_row_max in the options, which restricts the engines",
               "false");
  }
  double work = tuple_work(state);
  for (std::size_t i = 0; i < state.problems.size(); ++i) {
    work += planning::predicted_work(state.problems[i], state.decisions[i]);
  }
  base::ProgressMeter meter(progress ? progress : state.options.progress, work);
  base::Context context{thread_count(state.options), state.memory.get(), &meter};
  Report report;
  report.heads.resize(state.heads());
  if (state.tuples.empty()) {
    run_heads(state, out, context, report);
  } else {
    run_tuple_heads(state, out, context, report);
  }
  base::check_cancelled(context);
  report.instruction_set = simd::kernels().name;
  report.threads = context.threads;
  report.planning_seconds = state.planning_seconds;
  report.seconds = seconds_since(start);
  report.peak_bytes = state.memory->peak();
  return report;
}

Result run_plan(const detail::PlanState& state) {
  const CallShape& shape = state.shape;
  const Shape per_row{shape.batch, shape.query_heads, shape.n_q, 1};
  Result result;
  result.output = Tensor(state.request.output, {shape.batch, shape.query_heads, shape.n_q, shape.value_dim});
  Destinations out;
  out.output = result.output.view();
  const auto add = [&](bool wanted, std::optional<Tensor>& tensor, std::optional<View>& view) {
    if (wanted) {
      tensor.emplace(DType::float64, per_row);
      view = tensor->view();
    }
  };
  add(state.options.want_lse, result.lse, out.lse);
  add(state.options.want_lse, result.lse_bound, out.lse_bound);
  add(state.options.want_row_max, result.row_max, out.row_max);
  add(state.options.want_row_bounds, result.row_bounds, out.row_bounds);
  if (state.options.want_row_engine) {
    result.row_engine.resize(usize(shape.batch * shape.query_heads * shape.n_q));
    out.row_engine = result.row_engine;
  }
  result.report = run_plan(state, out, {});
  return result;
}

}  // namespace api

Plan::Plan(std::shared_ptr<const detail::PlanState> state) noexcept : state_(std::move(state)) {}
const PlanReport& Plan::report() const noexcept { return state_->report; }
Result Plan::execute() const { return api::run_plan(*state_); }
Report Plan::execute(const Destinations& out, const Progress& progress) const {
  return api::run_plan(*state_, out, progress);
}

Plan plan(const ConstView& q, std::span<const ConstView> keys, std::span<const ConstView> values,
          const Options& options) {
  return Plan(api::make_plan(q, keys, values, options, true));
}

}  // namespace polyattn
