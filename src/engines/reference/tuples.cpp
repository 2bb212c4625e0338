#include "engines/reference/tuples.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "engines/reference/sums.hpp"
#include "engines/reference/tuple_row.hpp"
#include "engines/tuple_sets.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace polyattn::engines {
namespace {

using base::usize;
using reference::certify_row;
using reference::CompensatedSum;
using reference::kInfinity;
using reference::TupleRow;
using reference::TupleRowBound;
using reference::TupleSet;
using reference::write;

constexpr double kProductsPerItem = 0x1p16;  ///< keeps the time between two looks at the progress meter short

std::vector<TupleSet> load_sets(const TupleProblem& problem, const base::Context& context) {
  const std::int64_t d = problem.dim();
  const std::int64_t d_v = problem.value_dim();
  std::vector<TupleSet> sets;
  for (std::size_t s = 0; s < problem.sets.size(); ++s) {
    const KeySet& from = problem.sets[s];
    TupleSet set;
    set.bias = set_bias(problem, s);
    set.keys = base::Buffer<double>(base::checked_mul(from.size(), d, "keys"), context.memory);
    set.values = base::Buffer<double>(base::checked_mul(from.size(), d_v, "values"), context.memory);
    for (std::int64_t j = 0; j < from.size(); ++j) {
      if (set.bias[usize(j)] != -kInfinity) {
        base::load_rows(from.keys, j, 1, set.keys.data() + j * d, d);
        base::load_rows(from.values, j, 1, set.values.data() + j * d_v, d_v);
      }
    }
    sets.push_back(std::move(set));
  }
  return sets;
}

/// Everything about one row but its certificate.
void answer(const TupleProblem& problem, const std::vector<TupleSet>& sets, std::int64_t index, TupleRow& row) {
  base::load_rows(problem.queries, index, 1, row.products.front().data(), problem.dim());
  row.tuples = 1.0;
  for (std::size_t s = 0; s < sets.size(); ++s) {
    row.look(s, sets[s], problem.range(s, index));
    row.tuples *= static_cast<double>(row.visible[s].size());
  }
  std::fill(row.output.begin(), row.output.end(), 0.0);
  row.log_sum = -kInfinity;
  if (row.tuples == 0.0) {
    return;
  }
  row.size = 0.0;
  row.max_score = -kInfinity;
  row.min_score = kInfinity;
  row.walk(sets, problem.scale, false, [&](double score, double size) {
    row.size = std::max(row.size, size);
    row.max_score = std::max(row.max_score, score);
    row.min_score = std::min(row.min_score, score);
  });
  // Weights divided by a power of two that is no less than their number: no sum overflows.
  const int halvings = static_cast<int>(std::ceil(std::log2(row.tuples))) + 1;
  const double unit = std::ldexp(1.0, -halvings);
  CompensatedSum denominator;
  std::vector<CompensatedSum> numerators(row.output.size());
  std::fill(row.low.begin(), row.low.end(), kInfinity);
  std::fill(row.high.begin(), row.high.end(), -kInfinity);
  const std::vector<double>& value = row.value_products.back();
  row.walk(sets, problem.scale, true, [&](double score, double) {
    const double weight = std::exp(score - row.max_score) * unit;
    denominator.add(weight);
    for (std::size_t c = 0; c < value.size(); ++c) {
      numerators[c].add(weight * value[c]);
      row.low[c] = std::min(row.low[c], value[c]);
      row.high[c] = std::max(row.high[c], value[c]);
    }
  });
  row.log_sum = std::log(std::ldexp(denominator.value(), halvings));
  for (std::size_t c = 0; c < value.size(); ++c) {
    // Into the hull of the products as computed; a NaN stays one, infinite products stay alone.
    const double quotient = numerators[c].value() / denominator.value();
    const bool hull = std::isfinite(row.low[c]) && std::isfinite(row.high[c]);
    row.output[c] = hull ? std::clamp(quotient, row.low[c], row.high[c]) : quotient;
  }
  // Scores against an infinite query are infinite or NaN, and neither has a softmax.
  const std::vector<double>& query = row.products.front();
  if (!std::all_of(query.begin(), query.end(), [](double q) { return std::isfinite(q); })) {
    std::fill(row.output.begin(), row.output.end(), std::nan(""));
    row.log_sum = std::nan("");
  }
}

/// Stores a row and its certificate.
void deliver(const TupleProblem& problem, const TupleRow& row, std::int64_t target, const HeadOutputs& out) {
  if (problem.value_dim() > 0 && out.output.data != nullptr) {
    base::store_row(out.output, target, row.output.data(), problem.value_dim());
  }
  write(out.approximation, target, 0.0);
  if (row.tuples == 0.0) {
    write(out.lse, target, -kInfinity);
    write(out.row_max, target, -kInfinity);
    for (double* zero : {out.lse_bound, out.rounding, out.storage, out.relative}) {
      write(zero, target, 0.0);
    }
    return;
  }
  const TupleRowBound bound = certify_row(row, problem.scale, out.output.dtype);
  write(out.rounding, target, bound.rounding);
  write(out.storage, target, bound.storage);
  write(out.relative, target, bound.relative);
  write(out.lse, target, row.max_score + row.log_sum);
  write(out.lse_bound, target, bound.lse);
  write(out.row_max, target, row.max_score);
}

/// About 16 times the work per tuple of the exact engine: nothing here is vectorised, and everything done twice.
double work_of(const TupleProblem& problem, double tuples) {
  return 16.0 * tuples * static_cast<double>(2 * problem.dim() + problem.value_dim() + 12);
}

}  // namespace

double reference_tuple_work(const TupleProblem& problem, const RowList& rows) {
  return work_of(problem, visible_tuples(problem, rows));
}

void reference_tuples(const TupleProblem& problem, const RowList& rows, const HeadOutputs& out,
                      const base::Context& context) {
  const base::FloatEnvironment environment;
  require_finite_inputs(problem);
  const std::int64_t count = rows.count(problem.n_q());
  const std::vector<TupleSet> sets = load_sets(problem, context);
  double tuples = 1.0;
  for (const KeySet& set : problem.sets) {
    tuples *= static_cast<double>(set.size());
  }
  const double work_per_row = tuples * static_cast<double>(problem.dim() + 1);
  const auto rows_per_item = static_cast<std::int64_t>(std::clamp(kProductsPerItem / (work_per_row + 1), 1.0, 64.0));
  std::vector<TupleRow> states;
  for (int thread = 0; thread < std::max(1, context.threads); ++thread) {
    states.emplace_back(problem);
  }
  base::parallel_for(context, base::blocks_of(count, rows_per_item), [&](std::int64_t item, int thread) {
    TupleRow& row = states[usize(thread)];
    const std::int64_t first = item * rows_per_item;
    double done = 0.0;
    for (std::int64_t i = first; i < std::min(count, first + rows_per_item); ++i) {
      const std::int64_t index = rows.row(i);
      answer(problem, sets, index, row);
      if (problem.non_finite == NonFinite::error && row.tuples > 0 && !std::isfinite(row.max_score + row.log_sum)) {
        base::fail(ErrorCode::non_finite, "scores of row " + std::to_string(index) + " (batch " +
                                              std::to_string(problem.batch) + ", head " + std::to_string(problem.head) +
                                              ") are beyond the range of float64");
      }
      deliver(problem, row, rows.target(i), out);
      done += visible_tuples(problem, index);
    }
    if (context.progress != nullptr && !context.progress->add(work_of(problem, done))) {
      base::check_cancelled(context);
    }
  });
}

}  // namespace polyattn::engines
