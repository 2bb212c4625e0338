#include "api/plan_state.hpp"
#include "api/query_domain.hpp"
#include "api/validate_mask.hpp"
#include "base/error.hpp"
#include "base/float_environment.hpp"
#include "planning/execute.hpp"
#include "planning/values.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <utility>

namespace polyattn {

namespace detail {

/// One piece of keys, values and biases, owned or borrowed.
struct KeyPiece {
  Tensor k;
  Tensor v;
  Tensor bias;
  ConstView key_view;
  ConstView value_view;
  std::optional<ConstView> bias_view;
};

struct PreparedState {
  explicit PreparedState(std::uint64_t max_memory) : memory(std::make_shared<base::MemoryMeter>(max_memory)) {}
  std::shared_ptr<base::MemoryMeter> memory;
  PrepareOptions options;
  QueryDomain domain;  ///< without `representative`: it is turned into extents and a sample
  std::vector<std::shared_ptr<const KeyPiece>> pieces;
  api::CallShape shape;
  planning::Request request;
  std::vector<engines::HeadProblem> problems;  ///< queries: representatives
  std::vector<planning::Domain> domains;
  std::vector<std::vector<double>> samples;      ///< storage of drawn representatives
  std::shared_ptr<const Tensor> representative;  ///< copy of the caller's
  std::vector<planning::HeadDecision> decisions;
  PlanReport report;
};

}  // namespace detail

namespace {

using base::usize;
using detail::KeyPiece;
using detail::PreparedState;

Tensor copy_of(const ConstView& view) {
  Tensor copy(view.dtype, view.shape);
  const auto size = static_cast<std::int64_t>(size_of(view.dtype));
  const auto* source = static_cast<const std::byte*>(view.data);
  auto* target = static_cast<std::byte*>(copy.data());
  const Shape& s = view.shape;
  for (std::int64_t b = 0; b < s[0]; ++b) {
    for (std::int64_t h = 0; h < s[1]; ++h) {
      for (std::int64_t i = 0; i < s[2]; ++i) {
        for (std::int64_t c = 0; c < s[3]; ++c) {
          const std::int64_t offset =
              b * view.strides[0] + h * view.strides[1] + i * view.strides[2] + c * view.strides[3];
          std::copy_n(source + offset * size, size, target);
          target += size;
        }
      }
    }
  }
  return copy;
}

std::shared_ptr<const KeyPiece> make_piece(const ConstView& k, const ConstView& v, const std::vector<ConstView>& bias,
                                           bool borrow) {
  auto piece = std::make_shared<KeyPiece>();
  if (borrow) {
    piece->key_view = k;
    piece->value_view = v;
  } else {
    piece->k = copy_of(k);
    piece->v = copy_of(v);
    piece->key_view = std::as_const(piece->k).view();
    piece->value_view = std::as_const(piece->v).view();
  }
  if (!bias.empty()) {
    if (borrow) {
      piece->bias_view = bias.front();
    } else {
      piece->bias = copy_of(bias.front());
      piece->bias_view = std::as_const(piece->bias).view();
    }
  }
  return piece;
}

/// Problems over all pieces; `q` gives batch, heads and queries.
std::vector<engines::HeadProblem> problems_over(const PreparedState& state, const ConstView& q) {
  std::vector<engines::HeadProblem> all;
  for (const auto& piece : state.pieces) {
    Options options = state.options.options;
    options.mask.key_bias.clear();
    if (piece->bias_view) {
      options.mask.key_bias.push_back(*piece->bias_view);
    }
    const ConstView keys[] = {piece->key_view};
    const ConstView values[] = {piece->value_view};
    const api::CallShape shape = api::check_shapes(q, keys, values);
    api::check_options(options, shape, 1);
    auto problems = api::make_problems(q, keys, values, options, shape);
    if (all.empty()) {
      all = std::move(problems);
      continue;
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
      base::append_rows(all[i].keys, problems[i].keys);
      base::append_rows(all[i].values, problems[i].values);
      base::append_rows(all[i].bias.rows, problems[i].bias.rows);
    }
  }
  for (engines::HeadProblem& problem : all) {  // positions count from the first piece to the end of the last
    problem.mask = api::position_mask(state.options.options.mask, problem.n_q(), problem.n_kv());
  }
  return all;
}

/// Which keys a row of a query set sees depends on its place in the set.
bool position_dependent(const Mask& mask) {
  return mask.visibility.causal != Causal::none || !mask.visibility.window.empty() || mask.exclude_self;
}

/// What belongs to one query set, of a length not known yet, cannot be prepared.
void check_preparable(const Options& options) {
  const auto refuse = [](const char* name, const char* instead) {
    base::fail(ErrorCode::unsupported, std::string(name) + ": not supported by prepared keys" + instead);
  };
  const Mask& mask = options.mask;
  if (options.guarantee == Guarantee::sampled) {
    refuse("guarantee sampled", ", whose degree is fixed before there are rows to draw; attend and plan take it");
  }
  if (mask.visibility.segments) {
    refuse("segments", ", whose query sets have no length yet; attend takes them");
  }
  if (mask.boolean) {
    refuse("boolean", "; a key that no row sees has a key_bias of -infinity, all else is for attend");
  }
  if (mask.additive) {
    refuse("additive", "; what is the same for every row is a key_bias, all else is for attend");
  }
  if (position_dependent(mask) && options.engine == Engine::polynomial) {
    base::fail(
        ErrorCode::unsupported,
        "causal, window, exclude_self: prepared keys of engine polynomial serve rows that see every key; engines "
        "that support it: reference, exact");
  }
}

template <class T>
std::shared_ptr<const engines::PreparedMoments<T>> prepare_moments(const engines::HeadProblem& problem,
                                                                   const planning::PolynomialChoice& choice,
                                                                   const base::Context& context) {
  engines::MomentTotals totals = engines::make_totals(choice.features, context.memory);
  engines::sum_moments<T>(problem, choice.frame, choice.values, choice.features, 0, context, totals);
  return std::make_shared<const engines::PreparedMoments<T>>(
      engines::prepare_moments<T>(choice.frame, choice.values, choice.features, choice.table, totals, context.memory));
}

void decide_head(PreparedState& state, std::size_t i, const base::Context& context) {
  const base::FloatEnvironment environment;
  engines::HeadProblem& problem = state.problems[i];
  planning::require_bias(problem);
  planning::Domain& domain = state.domains[i];
  if (state.representative != nullptr) {
    domain.extent = engines::query_extent(problem, context);
  } else {
    domain.extent = api::declared_extent(state.domain, engines::metric_of(problem));
    state.samples[i] = api::draw_representatives(state.domain, domain.extent);
    problem.queries.pieces = {{state.samples[i].data(), DType::float64, 0,
                               static_cast<std::int64_t>(state.samples[i].size()) / problem.dim(), problem.dim(), 1}};
    problem.queries.rows = problem.queries.pieces.front().count;
  }
  const auto expected = state.options.expected_queries;
  domain.expected_queries = static_cast<double>(expected > 0 ? expected : problem.n_kv());
  planning::HeadDecision& decision = state.decisions[i];
  decision = planning::decide(problem, state.request, context, &domain);
  if (state.request.engine != state.options.options.engine) {
    decision.plan.why = "sums prepared over all keys do not serve rows that see some of them";
  }
  if (decision.polynomial == nullptr) {
    return;
  }
  auto choice = std::const_pointer_cast<planning::PolynomialChoice>(decision.polynomial);  // made by decide just now
  if (choice->arithmetic == Arithmetic::float32) {
    choice->moments32 = prepare_moments<float>(problem, *choice, context);
  } else {
    choice->moments64 = prepare_moments<double>(problem, *choice, context);
  }
}

/// Fills everything that follows from pieces, domain and options.
void build(PreparedState& state) {
  const base::FloatEnvironment environment;
  const KeyPiece& piece = *state.pieces.front();
  const ConstView& k = piece.key_view;
  const std::int64_t heads = state.options.query_heads > 0 ? state.options.query_heads : k.shape[1];
  ConstView q{nullptr, k.dtype, {k.shape[0], heads, 0, k.shape[3]}, {0, 0, k.shape[3], 1}};
  if (state.representative != nullptr) {
    q = state.representative->view();
  }
  state.problems = problems_over(state, q);
  const ConstView keys[] = {piece.key_view};
  const ConstView values[] = {piece.value_view};
  state.shape = api::check_shapes(q, keys, values);
  state.shape.n_kv = state.problems.empty() ? k.shape[2] : state.problems.front().n_kv();
  api::check_domain(state.domain, state.shape.dim);
  state.request = api::make_request(state.options.options, q, keys, values);
  if (position_dependent(state.options.options.mask)) {
    state.request.engine = state.request.engine == Engine::automatic ? Engine::exact : state.request.engine;
  }
  state.domains.resize(state.problems.size());
  state.samples.resize(state.problems.size());
  state.decisions.resize(state.problems.size());
  const base::Context context{api::thread_count(state.options.options), state.memory.get(), nullptr};
  api::for_each_head(context, static_cast<std::int64_t>(state.problems.size()),
                     [&](std::int64_t i, const base::Context& inner) { decide_head(state, usize(i), inner); });
  state.report.instruction_set = simd::kernels().name;
  state.report.threads = context.threads;
  for (const planning::HeadDecision& decision : state.decisions) {
    state.report.heads.push_back(decision.plan);
    state.report.predicted_seconds += decision.plan.predicted_seconds;
    state.report.predicted_bytes = std::max(state.report.predicted_bytes, decision.plan.predicted_bytes);
  }
}

void set_domain(PreparedState& state, const QueryDomain& domain) {
  state.domain = domain;
  if (domain.representative) {
    state.representative = std::make_shared<const Tensor>(copy_of(*domain.representative));
    state.domain.representative = state.representative->view();
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
  check_preparable(options.options);
  auto state = std::make_shared<PreparedState>(options.options.max_memory);
  state->options = options;
  set_domain(*state, domain);
  // Shapes and biases are checked before anything is copied.
  const ConstView& k = keys.front();
  const std::int64_t heads = options.query_heads > 0 ? options.query_heads : k.shape[1];
  const ConstView q{nullptr, k.dtype, {k.shape[0], heads, 0, k.shape[3]}, {0, 0, k.shape[3], 1}};
  api::check_options(options.options, api::check_shapes(q, keys, values), 1);
  state->pieces.push_back(make_piece(k, values.front(), options.options.mask.key_bias, options.borrow));
  build(*state);
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
  plan->problems = problems_over(*source, q);
  const base::Context context{api::thread_count(source->options.options), plan->memory.get(), nullptr};
  if (source->options.outside == OutsideDomain::reprepare && q.shape[2] > 0 &&
      api::leaves_domain(source->domains, plan->problems, context)) {
    auto wider = std::make_shared<PreparedState>(source->options.options.max_memory);
    wider->options = source->options;
    wider->pieces = source->pieces;
    set_domain(*wider, api::widened(source->domains, plan->problems, context));
    build(*wider);
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
  plan->decisions = source->decisions;
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
  const bool biased = state_->pieces.front()->bias_view.has_value();
  if (biased != !key_bias.empty()) {
    base::fail(ErrorCode::invalid_argument, "key_bias",
               biased ? "one view, as the prepared keys have" : "none, as the prepared keys have none",
               std::to_string(key_bias.size()));
  }
  const KeyPiece& first = *state_->pieces.front();
  const auto same = [](const char* name, const ConstView& a, const ConstView& b) {
    const std::pair<const char*, std::size_t> axes[] = {{"batch", 0}, {"heads", 1}, {"dim", 3}};
    for (const auto& [axis, i] : axes) {
      if (a.shape[i] != b.shape[i]) {
        base::fail(ErrorCode::invalid_argument, name,
                   std::string(axis) + " " + std::to_string(b.shape[i]) + " as prepared", std::to_string(a.shape[i]));
      }
    }
  };
  same("keys", keys.front(), first.key_view);
  same("values", values.front(), first.value_view);
  auto state = std::make_shared<PreparedState>(state_->options.options.max_memory);
  state->options = state_->options;
  state->domain = state_->domain;
  state->representative = state_->representative;
  state->pieces = state_->pieces;
  state->pieces.push_back(
      make_piece(keys.front(), values.front(), {key_bias.begin(), key_bias.end()}, state_->options.borrow));
  build(*state);
  return Prepared(std::move(state));
}

}  // namespace polyattn
