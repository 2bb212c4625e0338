#include "api/plan_state.hpp"
#include "api/prepared_state.hpp"
#include "api/query_domain.hpp"
#include "base/error.hpp"
#include "base/float_environment.hpp"

#include <string>
#include <utility>

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

}  // namespace

Prepared::Prepared(std::shared_ptr<const detail::PreparedState> state) noexcept : state_(std::move(state)) {}
const PlanReport& Prepared::report() const noexcept { return state_->report; }
std::int64_t Prepared::keys() const noexcept { return state_->shape.n_kv; }

Prepared prepare(std::span<const ConstView> keys, std::span<const ConstView> values, const QueryDomain& domain,
                 const PrepareOptions& options) {
  if (keys.size() != 1 || values.size() != 1) {
    base::fail(keys.empty() || keys.size() != values.size() ? ErrorCode::invalid_argument : ErrorCode::unsupported,
               "keys and values", "one view each (order 2)",
               std::to_string(keys.size()) + " and " + std::to_string(values.size()));
  }
  api::check_preparable(options.options);
  auto state = std::make_shared<PreparedState>(options.options.max_memory);
  state->options = options;
  api::set_domain(*state, domain);
  // Shapes and biases are checked before anything is copied.
  const ConstView& k = keys.front();
  api::check_options(options.options, api::check_shapes(api::no_queries(options, k), keys, values), 1);
  const auto& biases = options.options.mask.key_bias;
  state->pieces.push_back(api::make_piece(
      k, values.front(), biases.empty() ? std::nullopt : std::optional(biases.front()), options.borrow));
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
  plan->problems = api::problems_over(*source, q);
  const base::Context context{api::thread_count(source->options.options), plan->memory.get(), nullptr};
  if (source->options.outside == OutsideDomain::reprepare && q.shape[2] > 0 &&
      api::leaves_domain(source->domains, plan->problems, context)) {
    auto wider = std::make_shared<PreparedState>(source->options.options.max_memory);
    wider->options = source->options;
    wider->pieces = source->pieces;
    api::set_domain(*wider, api::widened(source->domains, plan->problems, context));
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
  for (const auto& piece : source->pieces) {
    plan->inputs.push_back(api::check_view("keys", piece->key_view));
    plan->inputs.push_back(api::check_view("values", piece->value_view));
    if (piece->bias_view) {
      plan->inputs.push_back(api::check_view("key_bias", *piece->bias_view));
    }
  }
  plan->decisions = source->decisions();
  plan->report = source->report;
  plan->keep_alive = source;
  return Plan(std::move(plan));
}

Result Prepared::query(const ConstView& q) const { return plan(q).execute(); }
Report Prepared::query_into(const Destinations& out, const ConstView& q) const { return plan(q).execute(out); }

Prepared Prepared::append(std::span<const ConstView> keys, std::span<const ConstView> values,
                          std::span<const ConstView> key_bias) const {
  if (keys.size() != 1 || values.size() != 1) {
    base::fail(ErrorCode::invalid_argument, "keys and values", "one view each",
               std::to_string(keys.size()) + " and " + std::to_string(values.size()));
  }
  const api::KeyPiece& first = *state_->pieces.front();
  const bool biased = first.bias_view.has_value();
  if (key_bias.size() != (biased ? 1U : 0U)) {
    base::fail(ErrorCode::invalid_argument, "key_bias",
               biased ? "one view, as the prepared keys have" : "none, as the prepared keys have none",
               std::to_string(key_bias.size()));
  }
  check_same("keys", keys.front(), first.key_view);
  check_same("values", values.front(), first.value_view);
  // Shapes and biases are checked before anything is copied.
  Options options = state_->options.options;
  options.mask.key_bias.assign(key_bias.begin(), key_bias.end());
  api::check_options(options, api::check_shapes(api::no_queries(state_->options, keys.front()), keys, values), 1);
  if (keys.front().shape[2] == 0) {
    return *this;
  }
  const auto bias = biased ? std::optional(key_bias.front()) : std::nullopt;
  return Prepared(api::extended(*state_, api::make_piece(keys.front(), values.front(), bias, state_->options.borrow)));
}

}  // namespace polyattn
