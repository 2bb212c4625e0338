#include "engines/tuples/exact_results.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "engines/tuple_sets.hpp"
#include "simd/exact_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace polyattn::engines {
namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr double kSlack = 1 + 0x1p-30;

void write(double* array, std::int64_t target, double value) noexcept {
  if (array != nullptr) {
    array[target] = value;
  }
}

void store(const HeadOutputs& out, std::int64_t target, const std::vector<double>& row) {
  if (!row.empty() && out.output.data != nullptr) {
    base::store_row(out.output, target, row.data(), static_cast<std::int64_t>(row.size()));
  }
}

void write_empty(const HeadOutputs& out, std::int64_t target, const std::vector<double>& zeros) {
  store(out, target, zeros);
  write(out.lse, target, -kInfinity);
  write(out.row_max, target, -kInfinity);
  for (double* zero : {out.lse_bound, out.approximation, out.rounding, out.storage, out.relative}) {
    write(zero, target, 0.0);
  }
}

/// Sum over the outer sets of the largest bias the query sees, log2 units.
template <class T>
double outer_top(const TupleResults<T>& results, std::int64_t query) {
  double sum = 0.0;
  for (const std::size_t s : results.order.outer) {
    const SetFacts& set = results.facts[s];
    if (set.statistics.bias_min == set.statistics.bias_max) {
      sum += std::fabs(set.statistics.bias_max) * simd::kLog2E;
      continue;
    }
    const KeyRange range = results.problem.range(s, query);
    double top = -kInfinity;
    for (std::int64_t j = range.first; j < range.last; ++j) {
      top = std::max(top, set.bias[usize(j)]);
    }
    sum += std::fabs(top) * simd::kLog2E;
  }
  return sum * kSlack;
}

template <class T>
TupleMeasures measure(const TupleResults<T>& results, std::int64_t query, const double* q, const JoinState& state) {
  const KeyRange inner = results.problem.range(results.order.inner, query);
  TupleMeasures row;
  // 2^-1000 stands for each square that underflowed.
  const double norm = std::sqrt(state.square + 0x1p-1000 * static_cast<double>(results.problem.dim())) * kSlack;
  const double by_query = results.certifier.size_of(q);
  const double by_rows = results.certifier.size_of_rows(norm);
  row.size = by_query <= by_rows ? by_query : by_rows;  // NaN if the rows are
  row.row_norm = norm;
  row.low = state.low;
  row.high = state.high;
  row.tuples = visible_tuples(results.problem, query);
  row.keys = inner.size();
  row.from_start = inner.first == 0;
  row.rows = row.tuples / static_cast<double>(inner.size());
  row.outer_top = outer_top(results, query);
  row.magnitude = std::fabs(state.max) + std::fabs(results.shift) + 1;
  return row;
}

[[noreturn]] void fail_on_scores(const TupleProblem& problem, std::int64_t query) {
  base::fail(ErrorCode::non_finite, "scores of row " + std::to_string(query) + " (batch " +
                                        std::to_string(problem.batch) + ", head " + std::to_string(problem.head) +
                                        ") are beyond the range of float64");
}

}  // namespace

template <class T>
void write_tuple_row(const TupleResults<T>& results, std::int64_t index, std::span<JoinState> states) {
  const TupleProblem& problem = results.problem;
  const HeadOutputs& out = results.out;
  const std::int64_t query = results.rows.row(index);
  const std::int64_t target = results.rows.target(index);
  const std::int64_t d_v = problem.value_dim();
  std::vector<double> row(usize(d_v), 0.0);
  std::vector<double> q(usize(problem.dim()));
  base::load_rows(problem.queries, query, 1, q.data(), problem.dim());
  const bool finite_query = std::all_of(q.begin(), q.end(), [](double x) { return std::isfinite(x); });
  if (!finite_query && problem.non_finite == NonFinite::error) {
    require_finite_inputs(problem);  // names the first
  }
  if (states.empty()) {
    write_empty(out, target, row);
    return;
  }
  JoinState& state = states.front();
  for (const JoinState& later : states.subspan(1)) {
    join_states(later, d_v, state);
  }
  const bool finite_keys = std::all_of(results.facts.begin(), results.facts.end(),
                                       [](const SetFacts& set) { return set.statistics.finite; });
  // Scores against an infinite query are infinite or NaN, and neither has a softmax.
  const bool meaningless = !finite_query || (state.sum == 0.0 && !finite_keys);
  double largest = 0.0;
  for (std::int64_t c = 0; c < d_v; ++c) {
    // Adding +0 makes every zero positive, whatever order the zeros were met in.
    double& t = row[usize(c)];
    t = meaningless ? kNan : state.sum == 0.0 ? 0.0 : (state.sums[c] + 0.0) / state.sum * results.value_scale;
    largest = std::isnan(largest) || std::fabs(t) <= largest ? largest : std::fabs(t);
  }
  store(out, target, row);
  TupleMeasures measures = measure(results, query, q.data(), state);
  measures.largest_output = largest;
  const bool finite = std::isfinite(state.sum) && state.sum > 0.0 && !meaningless;
  if (sizeof(T) == sizeof(double) && problem.non_finite == NonFinite::error &&
      (results.certifier.may_overflow(measures) || !finite)) {
    fail_on_scores(problem, query);
  }
  ExactBound bound = results.certifier.certify(measures, out.relative != nullptr);
  if (!finite || !std::isfinite(largest)) {
    bound = {kInfinity, kInfinity, finite ? bound.lse : kInfinity};
  }
  const double lse = (state.max + results.shift + std::log2(state.sum)) * kLn2;
  write(out.lse, target, meaningless ? kNan : lse);
  write(out.lse_bound, target, bound.lse);
  write(out.row_max, target, (state.top + results.shift) * kLn2);
  write(out.approximation, target, 0.0);
  write(out.rounding, target, bound.rounding);
  write(out.storage, target, finite ? results.certifier.storage(largest) : kInfinity);
  write(out.relative, target, bound.relative);
}

template struct TupleResults<float>;
template struct TupleResults<double>;
template void write_tuple_row<float>(const TupleResults<float>&, std::int64_t, std::span<JoinState>);
template void write_tuple_row<double>(const TupleResults<double>&, std::int64_t, std::span<JoinState>);

}  // namespace polyattn::engines
