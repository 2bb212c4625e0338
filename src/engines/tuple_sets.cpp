#include "engines/tuple_sets.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "engines/finite.hpp"

#include <cmath>
#include <limits>
#include <string>

namespace polyattn::engines {
namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// "keys[1]"
std::string name_of(const char* list, std::size_t set) { return std::string(list) + "[" + std::to_string(set) + "]"; }

}  // namespace

HeadProblem set_problem(const TupleProblem& problem, std::size_t set) {
  const KeySet& keys = problem.sets[set];
  HeadProblem head;
  head.batch = problem.batch;
  head.head = problem.head;
  head.queries = problem.queries;
  head.keys = keys.keys;
  head.values = keys.values;
  head.bias = keys.bias;
  head.score.scale = problem.scale;
  head.mask = keys.mask;
  head.non_finite = problem.non_finite;
  return head;
}

std::vector<double> set_bias(const TupleProblem& problem, std::size_t set) {
  const HeadProblem head = set_problem(problem, set);
  std::vector<double> bias(usize(head.n_kv()), 0.0);
  if (!head.has_bias()) {
    return bias;
  }
  load_bias(head, 0, head.n_kv(), bias.data());
  for (std::size_t j = 0; j < bias.size() && problem.non_finite == NonFinite::error; ++j) {
    if (!(bias[j] < kInfinity)) {
      base::fail(ErrorCode::non_finite, name_of("key_bias", set), "finite numbers or -infinity",
                 std::string(std::isnan(bias[j]) ? "NaN" : "infinity") + " at batch " + std::to_string(problem.batch) +
                     ", head " + std::to_string(problem.head) + ", key " + std::to_string(j));
    }
  }
  return bias;
}

void require_finite_inputs(const TupleProblem& problem) {
  if (problem.non_finite == NonFinite::propagate) {
    return;
  }
  for (std::size_t s = 0; s < problem.sets.size(); ++s) {
    const HeadProblem head = set_problem(problem, s);
    const std::vector<double> bias = set_bias(problem, s);
    const auto check = [&](const std::string& name, const base::Rows& rows, bool keys) {
      std::vector<double> row(usize(rows.columns));
      const KeyRange seen = keys ? seen_keys(head) : KeyRange{0, rows.rows};
      for (std::int64_t i = seen.first; i < seen.last; ++i) {
        if (!keys || bias[usize(i)] != -kInfinity) {
          base::load_rows(rows, i, 1, row.data(), rows.columns);
          require_finite(head, name.c_str(), row.data(), i, 1, rows.columns);
        }
      }
    };
    if (s == 0) {
      check("q", head.queries, false);
    }
    check(name_of("keys", s), head.keys, true);
    check(name_of("values", s), head.values, true);
  }
}

double visible_tuples(const TupleProblem& problem, std::int64_t row) noexcept {
  double tuples = 1.0;
  for (std::size_t s = 0; s < problem.sets.size(); ++s) {
    tuples *= static_cast<double>(problem.range(s, row).size());
  }
  return tuples;
}

double visible_tuples(const TupleProblem& problem, const RowList& rows) noexcept {
  double tuples = 0.0;
  for (std::int64_t i = 0; i < rows.count(problem.n_q()); ++i) {
    tuples += visible_tuples(problem, rows.row(i));
  }
  return tuples;
}

}  // namespace polyattn::engines
