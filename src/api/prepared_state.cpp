#include "api/prepared_state.hpp"

#include "api/plan_state.hpp"
#include "api/prepared_tuples.hpp"
#include "api/query_domain.hpp"
#include "api/validate_mask.hpp"
#include "base/error.hpp"
#include "base/float_environment.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace polyattn {

std::vector<planning::HeadDecision> detail::PreparedState::decisions() const {
  std::vector<planning::HeadDecision> all;
  all.reserve(heads.size());
  for (const planning::PreparedHead& head : heads) {
    all.push_back(head.decision);
  }
  return all;
}

namespace api {

namespace {

using base::usize;
using detail::PreparedState;

/// Which keys a row of a query set sees depends on its place in the set.
bool position_dependent(const Mask& mask) {
  return mask.visibility.causal != Causal::none || !mask.visibility.window.empty() || mask.exclude_self;
}

std::vector<engines::HeadProblem> problems_of(const PreparedState& state, const KeyPiece& piece, const ConstView& q) {
  Options options = state.options.options;
  options.mask.key_bias.clear();
  if (piece.bias_view) {
    options.mask.key_bias.push_back(*piece.bias_view);
  }
  const ConstView keys[] = {piece.key_view};
  const ConstView values[] = {piece.value_view};
  const CallShape shape = check_shapes(q, keys, values);
  check_options(options, shape, 1);
  return make_problems(q, keys, values, options, shape);
}

void set_samples(const PreparedState& state, std::size_t i, engines::HeadProblem& problem) {
  if (state.representative == nullptr) {
    const auto rows = static_cast<std::int64_t>(state.samples[i].size()) / problem.dim();
    problem.queries.pieces = {{state.samples[i].data(), DType::float64, 0, rows, problem.dim(), 1}};
    problem.queries.rows = rows;
  }
}

/// Decides and sums over all keys, with the domain as it is.
void build_head(PreparedState& state, std::size_t i, engines::HeadProblem& problem, const base::Context& context) {
  const base::FloatEnvironment environment;
  set_samples(state, i, problem);
  const auto expected = state.options.expected_queries;  // as many as keys, which may have become more
  state.domains[i].expected_queries = static_cast<double>(expected > 0 ? expected : problem.n_kv());
  state.heads[i] = planning::prepare_head(problem, state.request, state.domains[i], context);
  if (state.request.engine != state.options.options.engine) {
    state.heads[i].decision.plan.why = kSumsOfAllKeys;
  }
}

planning::Request request_of(const PreparedState& state) {
  const ConstView q = representatives(state);
  planning::Request request;
  bool native_float32 = true;
  for (const KeyPieces& pieces : state.sets) {
    for (const auto& piece : pieces) {
      const ConstView keys[] = {piece->key_view};
      const ConstView values[] = {piece->value_view};
      request = make_request(state.options.options, q, keys, values);
      native_float32 = native_float32 && request.native_float32;
    }
  }
  request.native_float32 = native_float32;
  if (position_dependent(state.options.options.mask) && request.engine == Engine::automatic) {
    request.engine = Engine::exact;
  }
  return request;
}

void set_report(PreparedState& state, int threads) {
  state.report.instruction_set = simd::kernels().name;
  state.report.threads = threads;
  const auto add = [&](const HeadPlan& plan) {
    state.report.heads.push_back(plan);
    state.report.predicted_seconds += plan.predicted_seconds;
    state.report.predicted_bytes = std::max(state.report.predicted_bytes, plan.predicted_bytes);
  };
  for (const planning::PreparedHead& head : state.heads) {
    add(head.decision.plan);
  }
  for (const planning::TupleDecision& head : state.tuple_heads) {
    add(head.plan);
  }
}

base::Context context_of(const PreparedState& state) {
  return {thread_count(state.options.options), state.memory.get(), nullptr};
}

/// The heads that take the keys of the last piece without being prepared anew.
std::vector<std::optional<planning::PreparedHead>> grown_heads(const PreparedState& state, const KeyPiece& piece,
                                                               const std::vector<planning::PreparedHead>& heads) {
  std::vector<engines::HeadProblem> added = problems_of(state, piece, representatives(state));
  std::vector<std::optional<planning::PreparedHead>> grown(heads.size());
  for_each_head(
      context_of(state), static_cast<std::int64_t>(heads.size()), [&](std::int64_t i, const base::Context& inner) {
        const base::FloatEnvironment environment;
        set_samples(state, usize(i), added[usize(i)]);
        grown[usize(i)] =
            planning::append_to_head(heads[usize(i)], added[usize(i)], state.request, state.domains[usize(i)], inner);
      });
  return grown;
}

}  // namespace

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

ConstView no_queries(const PrepareOptions& options, std::span<const ConstView> keys) noexcept {
  const ConstView& k = keys.front();
  std::int64_t heads = options.query_heads;
  if (heads <= 0) {
    for (const ConstView& set : keys) {
      heads = std::max(heads, set.shape[1]);
    }
  }
  return {nullptr, k.dtype, {k.shape[0], heads, 0, k.shape[3]}, {0, 0, k.shape[3], 1}};
}

std::vector<ConstView> first_keys(const PreparedState& state) {
  std::vector<ConstView> views;
  for (const KeyPieces& pieces : state.sets) {
    views.push_back(pieces.front()->key_view);
  }
  return views;
}

std::vector<ConstView> first_values(const PreparedState& state) {
  std::vector<ConstView> views;
  for (const KeyPieces& pieces : state.sets) {
    views.push_back(pieces.front()->value_view);
  }
  return views;
}

ConstView representatives(const PreparedState& state) {
  return state.representative != nullptr ? state.representative->view() : no_queries(state.options, first_keys(state));
}

void set_head_domain(PreparedState& state, std::size_t i, const engines::HeadProblem& problem,
                     const base::Context& context) {
  planning::Domain& domain = state.domains[i];
  if (state.representative != nullptr) {
    domain.extent = engines::query_extent(problem, context);
  } else {
    domain.extent = declared_extent(state.domain, engines::metric_of(problem));
    state.samples[i] = draw_representatives(state.domain, domain.extent);
  }
}

void set_domain(PreparedState& state, const QueryDomain& domain) {
  state.domain = domain;
  if (domain.representative) {
    state.representative = std::make_shared<const Tensor>(copy_of(*domain.representative));
    state.domain.representative = state.representative->view();
  }
}

std::vector<engines::HeadProblem> problems_over(const PreparedState& state, const ConstView& q) {
  std::vector<engines::HeadProblem> all;
  for (const auto& piece : state.sets.front()) {
    auto problems = problems_of(state, *piece, q);
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
    problem.mask = position_mask(state.options.options.mask, problem.n_q(), problem.n_kv());
  }
  return all;
}

void build(PreparedState& state) {
  const base::FloatEnvironment environment;
  const ConstView q = representatives(state);
  state.shape = check_shapes(q, first_keys(state), first_values(state));
  check_domain(state.domain, state.shape.dim);
  state.request = request_of(state);
  const base::Context context = context_of(state);
  if (state.sets.size() > 1) {
    build_tuples(state, q, context);
    set_report(state, context.threads);
    return;
  }
  std::vector<engines::HeadProblem> problems = problems_over(state, q);
  state.domains.resize(problems.size());
  state.samples.resize(problems.size());
  state.heads.resize(problems.size());
  for_each_head(context, static_cast<std::int64_t>(problems.size()), [&](std::int64_t i, const base::Context& inner) {
    const base::FloatEnvironment here;
    set_head_domain(state, usize(i), problems[usize(i)], inner);
    build_head(state, usize(i), problems[usize(i)], inner);
  });
  set_report(state, context.threads);
}

std::shared_ptr<const PreparedState> extended(const PreparedState& state, std::shared_ptr<const KeyPiece> piece) {
  const base::FloatEnvironment environment;
  auto next = std::make_shared<PreparedState>(state.options.options.max_memory);
  next->options = state.options;
  next->domain = state.domain;
  next->representative = state.representative;
  next->sets = state.sets;
  next->sets.front().push_back(piece);
  next->shape = state.shape;
  next->request = request_of(*next);
  next->domains = state.domains;
  next->samples = state.samples;
  std::vector<std::optional<planning::PreparedHead>> grown(state.heads.size());
  if (next->request.native_float32 == state.request.native_float32) {
    grown = grown_heads(*next, *piece, state.heads);
  }
  next->sets.front() = with_piece(state.sets.front(), std::move(piece));
  std::vector<engines::HeadProblem> problems;  // over all keys, if a head asks for them
  const base::Context context = context_of(*next);
  next->heads.resize(grown.size());
  for (std::size_t i = 0; i < grown.size(); ++i) {
    if (grown[i]) {
      next->heads[i] = *std::move(grown[i]);
      continue;
    }
    if (problems.empty()) {
      problems = problems_over(*next, representatives(*next));
    }
    build_head(*next, i, problems[i], context);
  }
  set_report(*next, context.threads);
  return next;
}

}  // namespace api
}  // namespace polyattn
