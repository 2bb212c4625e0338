#pragma once

/// Calls of order 3 and above: the parts of plan.cpp and attend.cpp that differ from order 2.

#include "api/plan_state.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace polyattn::api {

/// A key set as one query head sees it; no mask.
engines::KeySet make_set(const ConstView& keys, const ConstView& values, const std::optional<ConstView>& bias,
                         std::int64_t batch, std::int64_t head, std::int64_t query_heads);

/// Problems in batch-major order, from checked arguments.
std::vector<engines::TupleProblem> make_tuple_problems(const ConstView& q, std::span<const ConstView> keys,
                                                       std::span<const ConstView> values, const Options& options,
                                                       const CallShape& shape);

/// Decides head i of `state`; `full` as in decide_heads.
HeadPlan decide_tuple_head(detail::PlanState& state, std::size_t i, bool full, const base::Context& context);

/// Work of all heads in units of the progress meter.
double tuple_work(const detail::PlanState& state);
void run_tuple_heads(const detail::PlanState& state, const Destinations& out, const base::Context& context,
                     Report& report);

/// max |T - mean(V)| over some rows, evenly spaced, answered by exact: at most 64, and as many as take little time.
void estimate_mean_answer(const engines::TupleProblem& problem, const planning::TupleFacts& facts, HeadPlan& plan,
                          const base::Context& context);

}  // namespace polyattn::api
