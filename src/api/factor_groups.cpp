#include "api/factor_groups.hpp"

#include "base/checked.hpp"
#include "base/rows.hpp"
#include "engines/factors/tuple_frame.hpp"
#include "engines/tuple_problem.hpp"

#include <cstddef>
#include <utility>
#include <variant>

namespace polyattn::api {

namespace {

using base::usize;

std::vector<std::int64_t> sharing_of(const ConstView& q, std::span<const ConstView> keys) {
  std::vector<std::int64_t> sharing;
  for (const ConstView& set : keys) sharing.push_back(set.shape[1] == 0 ? 1 : q.shape[1] / set.shape[1]);
  return sharing;
}

std::vector<FactorGroup> groups_of_pairs(const ConstView& q, std::span<const ConstView> keys,
                                         const FactorOptions& options, const CallShape& shape,
                                         const base::Context& context) {
  Options call;
  call.score = options.score;
  const std::vector<engines::HeadProblem> problems = make_problems(q, keys, keys, call, shape);
  const std::vector<std::int64_t> sharing = sharing_of(q, keys);
  std::vector<FactorGroup> groups;
  for (std::size_t first = 0; first < problems.size(); first += usize(sharing.front())) {
    const std::span heads = std::span(problems).subspan(first, usize(sharing.front()));
    groups.push_back({heads.front().batch, heads.front().head, sharing.front(), sharing,
                      engines::make_factor_frame(heads, engines::most_exponent(options.dtype), context)});
  }
  return groups;
}

std::vector<FactorGroup> groups_of_tuples(const ConstView& q, std::span<const ConstView> keys,
                                          const FactorOptions& options, const base::Context& context) {
  const std::vector<std::int64_t> sharing = sharing_of(q, keys);
  std::vector<engines::TupleProblem> problems;
  std::vector<bool> axes(usize(q.shape[3]), false);
  for (std::int64_t head = 0; head < q.shape[0] * q.shape[1]; ++head) {
    engines::TupleProblem problem;
    problem.batch = head / q.shape[1];
    problem.head = head % q.shape[1];
    problem.queries = base::head_rows(q, problem.batch, problem.head);
    problem.scale = std::get<Dot>(options.score).scale.value_or(1.0);
    for (std::size_t s = 0; s < keys.size(); ++s) {
      problem.sets.emplace_back();
      problem.sets.back().keys = base::head_rows(keys[s], problem.batch, problem.head / sharing[s]);
    }
    const std::vector<bool> used = engines::axes_in_use(problem);
    for (std::size_t l = 0; l < used.size(); ++l) axes[l] = axes[l] || used[l];
    problems.push_back(std::move(problem));
  }
  std::vector<FactorGroup> groups;
  groups.reserve(problems.size());
  for (const engines::TupleProblem& problem : problems) {
    groups.push_back(
        {problem.batch, problem.head, 1, sharing, engines::make_tuple_factor_frame(problem, axes, context)});
  }
  return groups;
}

}  // namespace

std::vector<FactorGroup> factor_groups(const ConstView& q, std::span<const ConstView> keys,
                                       const FactorOptions& options, const CallShape& shape,
                                       const base::Context& context) {
  return keys.size() == 1 ? groups_of_pairs(q, keys, options, shape, context)
                          : groups_of_tuples(q, keys, options, context);
}

}  // namespace polyattn::api
