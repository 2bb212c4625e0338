#include "api/plan_state.hpp"
#include "api/prepared_state.hpp"
#include "api/prepared_tuples.hpp"
#include "api/query_domain.hpp"
#include "base/error.hpp"
#include "base/float_environment.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace polyattn {

namespace {

using detail::PreparedState;

/// Keys or values of an append against those that are there.
void check_same(const char* name, const ConstView& added, const ConstView& prepared) {
  const std::pair<const char*, std::size_t> axes[] = {{"batch", 0}, {"heads", 1}, {"dim", 3}};
  for (const auto& [axis, i] : axes) {
    if (added.shape[i] != prepared.shape[i]) {
      base::fail(ErrorCode::invalid_argument, name,
                 std::string(axis) + " " + std::to_string(prepared.shape[i]) + " as prepared",
                 std::to_string(added.shape[i]));
    }
  }
}

void check_lists(std::span<const ConstView> keys, std::span<const ConstView> values) {
  if (keys.empty() || keys.size() != values.size()) {
    base::fail(ErrorCode::invalid_argument, "keys and values", "as many views each, one or more",
               std::to_string(keys.size()) + " and " + std::to_string(values.size()));
  }
}

/// The order is that of what is prepared.
void check_appended(const PreparedState& state, std::span<const ConstView> keys, std::span<const ConstView> values,
                    std::span<const ConstView> key_bias) {
  const std::string sets = std::to_string(state.sets.size());
  if (keys.size() != state.sets.size() || values.size() != state.sets.size()) {
    base::fail(ErrorCode::invalid_argument, "keys and values", sets + " views each, as prepared",
               std::to_string(keys.size()) + " and " + std::to_string(values.size()));
  }
  const bool biased = state.sets.front().front()->bias_view.has_value();
  if (key_bias.size() != (biased ? state.sets.size() : 0U)) {
    base::fail(ErrorCode::invalid_argument, "key_bias",
               biased ? sets + " views, as the prepared keys have" : "none, as the prepared keys have none",
               std::to_string(key_bias.size()));
  }
  for (std::size_t s = 0; s < keys.size(); ++s) {
    check_same("keys", keys[s], state.sets[s].front()->key_view);
    check_same("values", values[s], state.sets[s].front()->value_view);
  }
  // Shapes and biases are checked before anything is copied.
  Options options = state.options.options;
  options.mask.key_bias.assign(key_bias.begin(), key_bias.end());
  api::check_options(options, api::check_shapes(api::no_queries(state.options, keys), keys, values), keys.size());
}

}  // namespace

Prepared::Prepared(std::shared_ptr<const detail::PreparedState> state) noexcept : state_(std::move(state)) {}
const PlanReport& Prepared::report() const noexcept { return state_->report; }
std::int64_t Prepared::keys(std::size_t set) const noexcept {
  return set < state_->sets.size() ? api::keys_in(state_->sets[set]) : 0;
}

Prepared prepare(std::span<const ConstView> keys, std::span<const ConstView> values, const QueryDomain& domain,
                 const PrepareOptions& options) {
  check_lists(keys, values);
  api::check_preparable(options.options);
  auto state = std::make_shared<PreparedState>(options.options.max_memory);
  state->options = options;
  api::set_domain(*state, domain);
  // Shapes and biases are checked before anything is copied.
  api::check_options(options.options, api::check_shapes(api::no_queries(options, keys), keys, values), keys.size());
  const auto& biases = options.options.mask.key_bias;
  for (std::size_t s = 0; s < keys.size(); ++s) {
    const auto bias = biases.empty() ? std::nullopt : std::optional(biases[s]);
    state->sets.push_back({api::make_piece(keys[s], values[s], bias, options.borrow)});
  }
  api::build(*state);
  return Prepared(std::move(state));
}

Plan Prepared::plan(const ConstView& q) const {
  const base::FloatEnvironment environment;
  std::shared_ptr<const PreparedState> source = state_;
  auto plan = std::make_shared<detail::PlanState>(state_->options.options.max_memory);
  if (q.shape[0] != source->shape.batch || q.shape[1] != source->shape.query_heads) {
    const auto text = [](std::int64_t batch, std::int64_t heads) {
      return "batch " + std::to_string(batch) + " and " + std::to_string(heads) + " query heads";
    };
    base::fail(ErrorCode::invalid_argument, "q", text(source->shape.batch, source->shape.query_heads) + " as prepared",
               text(q.shape[0], q.shape[1]));
  }
  const bool tuples = source->sets.size() > 1;
  if (tuples) {
    plan->tuples = api::tuples_over(*source, q);
  } else {
    plan->problems = api::problems_over(*source, q);
  }
  const base::Context context{api::thread_count(source->options.options), plan->memory.get(), nullptr};
  if (source->options.outside == OutsideDomain::reprepare && q.shape[2] > 0 &&
      api::leaves_domain(source->domains, tuples ? api::queries_of(plan->tuples) : plan->problems, context)) {
    auto wider = std::make_shared<PreparedState>(source->options.options.max_memory);
    wider->options = source->options;
    wider->sets = source->sets;
    api::set_domain(*wider,
                    api::widened(source->domains, tuples ? api::queries_of(plan->tuples) : plan->problems, context));
    api::build(*wider);
    source = wider;
  }
  plan->options = source->options.options;
  plan->shape = source->shape;
  plan->shape.n_q = q.shape[2];
  plan->request = source->request;
  plan->request.output = output_dtype(q, plan->options);
  plan->request.native_float32 = plan->request.native_float32 && q.dtype != DType::float64;
  plan->inputs = {api::check_view("q", q)};
  for (const api::KeyPieces& pieces : source->sets) {
    for (const auto& piece : pieces) {
      plan->inputs.push_back(api::check_view("keys", piece->key_view));
      plan->inputs.push_back(api::check_view("values", piece->value_view));
      if (piece->bias_view) {
        plan->inputs.push_back(api::check_view("key_bias", *piece->bias_view));
      }
    }
  }
  plan->decisions = source->decisions();
  plan->tuple_decisions = source->tuple_heads;
  plan->report = source->report;
  plan->keep_alive = source;
  return Plan(std::move(plan));
}

Result Prepared::query(const ConstView& q) const { return plan(q).execute(); }
Report Prepared::query_into(const Destinations& out, const ConstView& q) const { return plan(q).execute(out); }

Prepared Prepared::append(std::span<const ConstView> keys, std::span<const ConstView> values,
                          std::span<const ConstView> key_bias) const {
  check_appended(*state_, keys, values, key_bias);
  std::vector<std::shared_ptr<const api::KeyPiece>> added;
  bool some = false;
  for (std::size_t s = 0; s < keys.size(); ++s) {
    const auto bias = key_bias.empty() ? std::nullopt : std::optional(key_bias[s]);
    const bool any = keys[s].shape[2] > 0;
    added.push_back(any ? api::make_piece(keys[s], values[s], bias, state_->options.borrow) : nullptr);
    some = some || any;
  }
  if (!some) {
    return *this;
  }
  return Prepared(added.size() > 1 ? api::extended_tuples(*state_, added) : api::extended(*state_, added.front()));
}

}  // namespace polyattn
