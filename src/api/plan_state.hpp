#pragma once

/// What a Plan holds: problems with borrowed data, one decision per head.

#include "api/validate.hpp"
#include "api/views.hpp"
#include "base/memory.hpp"
#include "planning/decide.hpp"
#include "planning/tuple_plan.hpp"

#include <memory>
#include <vector>

namespace polyattn::detail {

struct PlanState {
  explicit PlanState(std::uint64_t max_memory) : memory(std::make_shared<base::MemoryMeter>(max_memory)) {}
  std::shared_ptr<base::MemoryMeter> memory;  // first: it must outlive what it counts
  std::shared_ptr<const void> keep_alive;     ///< prepared keys, if any; likewise
  Options options;
  api::CallShape shape;
  planning::Request request;
  std::vector<api::ByteRange> inputs;          ///< memory that no destination may touch
  std::vector<engines::HeadProblem> problems;  ///< order 2
  std::vector<planning::HeadDecision> decisions;
  std::vector<engines::TupleProblem> tuples;  ///< order 3 and above
  std::vector<planning::TupleDecision> tuple_decisions;
  PlanReport report;
  double planning_seconds = 0.0;

  [[nodiscard]] std::size_t heads() const noexcept { return problems.size() + tuples.size(); }
};

}  // namespace polyattn::detail

namespace polyattn::api {

/// Heads (or groups of them) side by side where that leaves no thread idle for long, else one after the other with all
/// threads inside. The bits are the same either way.
template <class Body>
void for_each_head(const base::Context& context, std::int64_t heads, const Body& body) {
  constexpr std::int64_t kMany = 8;  // rounds, the last of which may be incomplete
  const bool even = heads > 0 && (heads % context.threads == 0 || heads >= kMany * context.threads);
  if (even && context.threads > 1) {
    base::parallel_for(context, heads, [&](std::int64_t i, int) { body(i, context.serial()); });
  } else {
    for (std::int64_t i = 0; i < heads; ++i) {
      body(i, context);
    }
  }
}

int thread_count(const Options& options) noexcept;

/// Everything but decisions: inputs checked, one problem per head.
std::shared_ptr<detail::PlanState> make_state(const ConstView& q, std::span<const ConstView> keys,
                                              std::span<const ConstView> values, const Options& options);
/// max |T - mean(V)| over at most 64 rows, evenly spaced, answered by exact.
void estimate_mean_answer(const engines::HeadProblem& problem, HeadPlan& plan, const base::Context& context);
/// Decides every head of `state` and fills its report. `full` adds statistics and the estimate of mean(V)'s error.
void decide_heads(detail::PlanState& state, bool full);
std::shared_ptr<detail::PlanState> make_plan(const ConstView& q, std::span<const ConstView> keys,
                                             std::span<const ConstView> values, const Options& options, bool full);
Report run_plan(const detail::PlanState& state, const Destinations& out, const Progress& progress);
Result run_plan(const detail::PlanState& state);

}  // namespace polyattn::api
