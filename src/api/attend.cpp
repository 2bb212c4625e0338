#include "api/plan_state.hpp"
#include "api/tuple_calls.hpp"
#include "base/error.hpp"
#include "base/float_environment.hpp"
#include "engines/capabilities.hpp"
#include "engines/exact/exact.hpp"
#include "engines/tuples/exact.hpp"
#include "simd/dispatch.hpp"

#include "base/version.hpp"

#include <algorithm>

namespace polyattn {

Shape output_shape(const ConstView& q, std::span<const ConstView> values) {
  if (values.empty()) {
    base::fail(ErrorCode::invalid_argument, "values", "at least one view", "none");
  }
  return {q.shape[0], q.shape[1], q.shape[2], values.front().shape[3]};
}

DType output_dtype(const ConstView& q, const Options& options) {
  if (options.output_dtype) {
    return *options.output_dtype;
  }
  return q.dtype == DType::float64 ? DType::float64 : DType::float32;
}

Result attend(const ConstView& q, std::span<const ConstView> keys, std::span<const ConstView> values,
              const Options& options) {
  return api::run_plan(*api::make_plan(q, keys, values, options, false));
}

Report attend_into(const Destinations& out, const ConstView& q, std::span<const ConstView> keys,
                   std::span<const ConstView> values, const Options& options) {
  return api::run_plan(*api::make_plan(q, keys, values, options, false), out, {});
}

namespace {

/// Exact rows in float64 of every head: `answer(problem, outputs, context)` computes those of one.
template <class Problem, class Answer>
void answer_rows(const std::vector<Problem>& problems, std::int64_t count, const base::Context& context, Result& result,
                 const Answer& answer) {
  result.report.heads.resize(problems.size());
  api::for_each_head(context, static_cast<std::int64_t>(problems.size()),
                     [&](std::int64_t i, const base::Context& inner) {
                       const Problem& problem = problems[static_cast<std::size_t>(i)];
                       engines::HeadOutputs out;
                       out.output = base::head_sink(result.output.view(), problem.batch, problem.head);
                       const auto array = [&](std::optional<Tensor>& tensor) {
                         return tensor ? static_cast<double*>(tensor->data()) + i * count : nullptr;
                       };
                       out.rounding = array(result.row_bounds);
                       out.lse = array(result.lse);
                       out.lse_bound = array(result.lse_bound);
                       out.row_max = array(result.row_max);
                       answer(problem, out, inner);
                       HeadReport& report = result.report.heads[static_cast<std::size_t>(i)];
                       report.batch = problem.batch;
                       report.head = problem.head;
                       report.engine = Engine::exact;
                       report.arithmetic = Arithmetic::float64;
                       report.rows_total = report.rows_exact = count;
                       for (std::int64_t r = 0; r < count; ++r) {
                         report.certificate.rounding = std::max(report.certificate.rounding, out.rounding[r]);
                       }
                     });
  base::check_cancelled(context);
}

engines::RowList checked_rows(std::span<const std::int64_t> rows, std::int64_t n_q) {
  engines::RowList list;
  list.all = false;
  for (const std::int64_t row : rows) {
    if (row < 0 || row >= n_q) {
      base::fail(ErrorCode::invalid_argument, "rows", "indices from 0 to " + std::to_string(n_q - 1),
                 std::to_string(row));
    }
    list.targets.push_back(static_cast<std::int64_t>(list.rows.size()));
    list.rows.push_back(row);
  }
  return list;
}

/// Space for `count` rows of every head.
Result rows_result(const api::CallShape& shape, std::int64_t count, const Options& options) {
  Result result;
  result.output = Tensor(DType::float64, {shape.batch, shape.query_heads, count, shape.value_dim});
  const Shape per_row{shape.batch, shape.query_heads, count, 1};
  result.row_bounds.emplace(DType::float64, per_row);
  if (options.want_lse) {
    result.lse.emplace(DType::float64, per_row);
    result.lse_bound.emplace(DType::float64, per_row);
  }
  if (options.want_row_max) {
    result.row_max.emplace(DType::float64, per_row);
  }
  return result;
}

}  // namespace

Result attend_rows(const ConstView& q, std::span<const ConstView> keys, std::span<const ConstView> values,
                   std::span<const std::int64_t> rows, const Options& options) {
  const base::FloatEnvironment environment;
  const api::CallShape shape = api::check_shapes(q, keys, values);
  Options exact = options;
  exact.engine = Engine::exact;
  exact.degree.reset();
  api::check_options(exact, shape, keys.size());
  const engines::RowList list = checked_rows(rows, shape.n_q);
  const auto count = static_cast<std::int64_t>(list.rows.size());
  Result result = rows_result(shape, count, options);
  base::MemoryMeter memory(options.max_memory);
  const int threads = api::thread_count(options);
  if (keys.size() > 1) {
    const auto problems = api::make_tuple_problems(q, keys, values, exact, shape);
    double work = 0.0;
    for (const engines::TupleProblem& problem : problems) {
      work += engines::exact_tuple_work(problem, list);
    }
    base::ProgressMeter meter(options.progress, work);
    answer_rows(problems, count, {threads, &memory, &meter}, result,
                [&](const engines::TupleProblem& problem, const engines::HeadOutputs& out, const base::Context& inner) {
                  engines::exact_tuples<double>(problem, list, out, inner);
                });
  } else {
    const auto problems = api::make_problems(q, keys, values, exact, shape);
    double work = 0.0;
    for (const engines::HeadProblem& problem : problems) {
      work += engines::exact_work(engines::visible_pairs(problem, list), problem.dim(), problem.value_dim());
    }
    base::ProgressMeter meter(options.progress, work);
    answer_rows(problems, count, {threads, &memory, &meter}, result,
                [&](const engines::HeadProblem& problem, const engines::HeadOutputs& out, const base::Context& inner) {
                  engines::exact_head<double>(problem, list, out, inner);
                });
  }
  for (HeadReport& head : result.report.heads) {
    head.order = static_cast<int>(keys.size()) + 1;
  }
  result.report.instruction_set = simd::kernels().name;
  result.report.threads = threads;
  result.report.peak_bytes = memory.peak();
  return result;
}

std::vector<Capability> capabilities() {
  std::vector<Capability> out;
  for (const engines::EngineCapability& c : engines::capability_table()) {
    out.push_back({c.engine, c.name, c.supported});
  }
  return out;
}

const char* instruction_set() { return simd::kernels().name; }

std::vector<const char*> instruction_sets() {
  std::vector<const char*> names;
  for (const simd::KernelTable* table : simd::available()) {
    names.push_back(table->name);
  }
  return names;
}

const char* version() noexcept { return base::kVersion; }

}  // namespace polyattn
