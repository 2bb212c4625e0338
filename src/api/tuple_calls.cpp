#include "api/tuple_calls.hpp"

#include "api/head_targets.hpp"
#include "api/validate_mask.hpp"
#include "base/float_environment.hpp"
#include "engines/tuples/exact.hpp"
#include "planning/execute_tuples.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

namespace polyattn::api {

namespace {

using base::usize;
using engines::TupleProblem;

/// Rows whose exact answers plan() asks for may take so many multiply-adds and exponentials, all together.
constexpr double kMostWork = 4e9;
constexpr std::int64_t kMostRows = 64;

/// How many rows that leaves, from the first on; 0 if a single one is too many.
std::int64_t affordable(const TupleProblem& problem) {
  const std::int64_t most = std::min(kMostRows, problem.n_q());
  if (most == 0) {
    return 0;
  }
  engines::RowList last;
  last.all = false;
  last.rows = last.targets = {problem.n_q() - 1};  // that sees most under a causal mask
  const double row = engines::exact_tuple_work(problem, last);
  return row * static_cast<double>(most) <= kMostWork ? most : static_cast<std::int64_t>(kMostWork / row);
}

}  // namespace

engines::KeySet make_set(const ConstView& keys, const ConstView& values, const std::optional<ConstView>& bias,
                         std::int64_t batch, std::int64_t head, std::int64_t query_heads) {
  const std::int64_t own = head / (query_heads / keys.shape[1]);
  engines::KeySet set;
  set.keys = base::head_rows(keys, batch, own);
  set.values = base::head_rows(values, batch, own);
  if (bias) {
    set.bias.rows = base::head_rows(*bias, bias->shape[0] == 1 ? 0 : batch, bias->shape[1] == 1 ? 0 : head);
  }
  return set;
}

std::vector<TupleProblem> make_tuple_problems(const ConstView& q, std::span<const ConstView> keys,
                                              std::span<const ConstView> values, const Options& options,
                                              const CallShape& shape) {
  std::vector<TupleProblem> problems;
  problems.reserve(usize(shape.batch * shape.query_heads));
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    for (std::int64_t h = 0; h < shape.query_heads; ++h) {
      TupleProblem problem;
      problem.batch = b;
      problem.head = h;
      problem.queries = base::head_rows(q, b, h);
      problem.scale = std::get<Dot>(options.score).scale.value();  // required at this order
      problem.non_finite = options.non_finite;
      for (std::size_t s = 0; s < keys.size(); ++s) {
        const auto& biases = options.mask.key_bias;
        const auto bias = biases.empty() ? std::nullopt : std::optional(biases[s]);
        problem.sets.push_back(make_set(keys[s], values[s], bias, b, h, shape.query_heads));
        problem.sets.back().mask = position_mask(options.mask, shape.n_q, keys[s].shape[2], s);
      }
      problems.push_back(std::move(problem));
    }
  }
  return problems;
}

void estimate_mean_answer(const TupleProblem& problem, const planning::TupleFacts& facts, HeadPlan& plan,
                          const base::Context& context) {
  const std::vector<double>& mean = facts.mean;
  if (problem.n_q() == 0 || mean.empty() || facts.empty()) {
    plan.mean_answer_error = 0.0;
    return;
  }
  const std::int64_t count = affordable(problem);
  if (count == 0) {
    return;
  }
  engines::RowList rows;
  rows.all = false;
  for (std::int64_t i = 0; i < count; ++i) {
    rows.rows.push_back((i + 1) * problem.n_q() / count - 1);
    rows.targets.push_back(i);
  }
  std::vector<double> answers(usize(count) * mean.size());
  std::vector<double> lse(usize(count));
  engines::HeadOutputs out;
  out.output = {answers.data(), DType::float64, problem.value_dim(), 1};
  out.lse = lse.data();
  engines::exact_tuples<double>(problem, rows, out, context);
  double largest = 0.0;
  for (std::size_t i = 0; i < lse.size(); ++i) {
    for (std::size_t c = 0; c < mean.size() && std::isfinite(lse[i]); ++c) {  // rows that see no tuple answer 0
      largest = std::max(largest, std::fabs(answers[i * mean.size() + c] - mean[c]));
    }
  }
  plan.mean_answer_error = largest;
  plan.mean_answer_rows = static_cast<int>(count);
}

HeadPlan decide_tuple_head(detail::PlanState& state, std::size_t i, bool full, const base::Context& context) {
  const TupleProblem& problem = state.tuples[i];
  planning::TupleDecision& decision = state.tuple_decisions[i];
  decision = planning::decide_tuples(problem, state.request, context);
  if (full) {
    estimate_mean_answer(problem, decision.facts, decision.plan, context);
  }
  return decision.plan;
}

double tuple_work(const detail::PlanState& state) {
  double work = 0.0;
  for (std::size_t i = 0; i < state.tuples.size(); ++i) {
    work += planning::predicted_tuple_work(state.tuples[i], state.tuple_decisions[i]);
  }
  return work;
}

void run_tuple_heads(const detail::PlanState& state, const Destinations& out, const base::Context& context,
                     Report& report) {
  for_each_head(context, static_cast<std::int64_t>(state.tuples.size()),
                [&](std::int64_t i, const base::Context& inner) {
                  const TupleProblem& problem = state.tuples[usize(i)];
                  HeadTargets targets(out, i, problem.batch, problem.head, problem.n_q());
                  report.heads[usize(i)] = planning::execute_tuples(problem, state.tuple_decisions[usize(i)],
                                                                    state.request, targets.destinations(), inner);
                  targets.finish();
                });
}

}  // namespace polyattn::api
