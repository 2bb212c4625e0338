#include "api/prepared_tuples.hpp"

#include "api/plan_state.hpp"
#include "api/query_domain.hpp"
#include "api/tuple_calls.hpp"
#include "api/validate_mask.hpp"
#include "base/float_environment.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace polyattn::api {

namespace {

using base::usize;
using detail::PreparedState;

/// The pieces after the first, joined to the set of one head.
void append_pieces(const KeyPieces& pieces, std::int64_t batch, std::int64_t head, std::int64_t query_heads,
                   engines::KeySet& set) {
  for (std::size_t p = 1; p < pieces.size(); ++p) {
    const KeyPiece& piece = *pieces[p];
    const engines::KeySet added = make_set(piece.key_view, piece.value_view, piece.bias_view, batch, head, query_heads);
    base::append_rows(set.keys, added.keys);
    base::append_rows(set.values, added.values);
    base::append_rows(set.bias.rows, added.bias.rows);
  }
}

/// What is planned with: the caller's representatives, or points of the declared domain with its farthest.
void set_representatives(PreparedState& state, std::size_t i, engines::TupleProblem& problem,
                         const base::Context& context) {
  const engines::HeadProblem queries = queries_of({problem}).front();
  set_head_domain(state, i, queries, context);
  if (state.representative != nullptr) {
    return;
  }
  std::vector<double>& samples = state.samples[i];
  const std::vector<double> far = farthest_points(state.domain, state.domains[i].extent);
  samples.insert(samples.end(), far.begin(), far.end());
  const auto rows = static_cast<std::int64_t>(samples.size()) / problem.dim();
  problem.queries.pieces = {{samples.data(), DType::float64, 0, rows, problem.dim(), 1}};
  problem.queries.rows = rows;
}

/// Rows of a call, for the planner.
double expected_rows(const PreparedState& state, const engines::TupleProblem& problem) {
  std::int64_t keys = 0;
  for (const engines::KeySet& set : problem.sets) {
    keys = std::max(keys, set.size());
  }
  return static_cast<double>(state.options.expected_queries > 0 ? state.options.expected_queries : keys);
}

}  // namespace

std::vector<engines::TupleProblem> tuples_over(const PreparedState& state, const ConstView& q) {
  Options options = state.options.options;
  options.mask.key_bias.clear();
  for (const KeyPieces& pieces : state.sets) {
    if (pieces.front()->bias_view) {
      options.mask.key_bias.push_back(*pieces.front()->bias_view);
    }
  }
  const std::vector<ConstView> keys = first_keys(state);
  const std::vector<ConstView> values = first_values(state);
  const CallShape shape = check_shapes(q, keys, values);
  check_options(options, shape, keys.size());
  std::vector<engines::TupleProblem> problems = make_tuple_problems(q, keys, values, options, shape);
  for (engines::TupleProblem& problem : problems) {
    for (std::size_t s = 0; s < problem.sets.size(); ++s) {
      engines::KeySet& set = problem.sets[s];
      append_pieces(state.sets[s], problem.batch, problem.head, shape.query_heads, set);
      set.mask = position_mask(options.mask, problem.n_q(), set.size(), s);  // from the first piece to the last
    }
  }
  return problems;
}

std::vector<engines::HeadProblem> queries_of(const std::vector<engines::TupleProblem>& tuples) {
  std::vector<engines::HeadProblem> all;
  all.reserve(tuples.size());
  for (const engines::TupleProblem& problem : tuples) {
    engines::HeadProblem queries;
    queries.batch = problem.batch;
    queries.head = problem.head;
    queries.queries = problem.queries;
    queries.score.scale = problem.scale;
    queries.non_finite = problem.non_finite;
    all.push_back(std::move(queries));
  }
  return all;
}

void build_tuples(PreparedState& state, const ConstView& q, const base::Context& context) {
  std::vector<engines::TupleProblem> problems = tuples_over(state, q);
  state.domains.resize(problems.size());
  state.samples.resize(problems.size());
  state.tuple_heads.resize(problems.size());
  for_each_head(context, static_cast<std::int64_t>(problems.size()), [&](std::int64_t i, const base::Context& inner) {
    const base::FloatEnvironment here;
    engines::TupleProblem& problem = problems[usize(i)];
    set_representatives(state, usize(i), problem, inner);
    state.tuple_heads[usize(i)] =
        planning::prepare_tuples(problem, state.request, expected_rows(state, problem), inner);
    if (state.request.engine != state.options.options.engine) {
      state.tuple_heads[usize(i)].plan.why = kSumsOfAllKeys;
    }
  });
}

std::shared_ptr<const PreparedState> extended_tuples(const PreparedState& state,
                                                     const std::vector<std::shared_ptr<const KeyPiece>>& added) {
  auto next = std::make_shared<PreparedState>(state.options.options.max_memory);
  next->options = state.options;
  next->domain = state.domain;
  next->representative = state.representative;
  next->sets = state.sets;
  for (std::size_t s = 0; s < added.size(); ++s) {
    if (added[s] != nullptr) {
      next->sets[s] = with_piece(std::move(next->sets[s]), added[s]);
    }
  }
  build(*next);
  return next;
}

}  // namespace polyattn::api
