#include "planning/tuple_facts.hpp"

#include "engines/tuple_sets.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

namespace polyattn::planning {

namespace {

using base::usize;
using engines::KeyRange;
using engines::TupleProblem;

constexpr std::int64_t kRows = 2048;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A block of keys of a set: extremes, and sums with weights exp(bias - top).
struct Part {
  double max_abs = 0.0;
  double max_square = 0.0;
  double weight = 0.0;
  double keys = 0.0;
  std::vector<double> low, high, sum;
  std::vector<double> square;  ///< of the coordinates, summed
};

void add_key(const double* key, std::int64_t dim, Part& part) noexcept {
  double square = 0.0;
  for (std::int64_t l = 0; l < dim; ++l) {
    const double x = std::isfinite(key[l]) ? std::fabs(key[l]) : 0.0;
    part.max_abs = std::max(part.max_abs, x);
    part.square[usize(l)] += x * x;
    square += x * x;
  }
  part.keys += 1.0;
  part.max_square = std::max(part.max_square, square);
}

void add_value(const double* value, double weight, Part& part) noexcept {
  part.weight += weight;
  for (std::size_t c = 0; c < part.low.size(); ++c) {
    if (std::isfinite(value[c])) {
      part.low[c] = std::min(part.low[c], value[c]);
      part.high[c] = std::max(part.high[c], value[c]);
      part.sum[c] += weight * value[c];
    }
  }
}

Part measure_part(const engines::KeySet& set, const std::vector<double>& bias, double top, KeyRange keys) {
  const std::int64_t dim = set.keys.columns;
  const std::int64_t columns = set.values.columns;
  Part part;
  part.low.assign(usize(columns), kInfinity);
  part.high.assign(usize(columns), -kInfinity);
  part.sum.assign(usize(columns), 0.0);
  part.square.assign(usize(dim), 0.0);
  std::vector<double> key(usize(dim));
  std::vector<double> value(usize(columns));
  for (std::int64_t j = keys.first; j < keys.last; ++j) {
    if (bias[usize(j)] == -kInfinity) {
      continue;
    }
    base::load_rows(set.keys, j, 1, key.data(), dim);
    base::load_rows(set.values, j, 1, value.data(), columns);
    add_key(key.data(), dim, part);
    const double weight = std::exp(bias[usize(j)] - top);
    add_value(value.data(), std::isfinite(weight) ? weight : 0.0, part);
  }
  return part;
}

SetFacts measure_set(const TupleProblem& problem, std::size_t index, const base::Context& context) {
  const engines::KeySet& set = problem.sets[index];
  const std::vector<double> bias = engines::set_bias(problem, index);
  const double top = bias.empty() ? 0.0 : *std::max_element(bias.begin(), bias.end());
  std::vector<Part> parts(usize(base::blocks_of(set.size(), kRows)));
  base::parallel_for(context, static_cast<std::int64_t>(parts.size()), [&](std::int64_t block, int) {
    const std::int64_t first = block * kRows;
    parts[usize(block)] = measure_part(set, bias, top, {first, std::min(first + kRows, set.size())});
  });
  SetFacts facts;
  facts.visible = static_cast<std::int64_t>(bias.size()) - std::count(bias.begin(), bias.end(), -kInfinity);
  const std::size_t columns = usize(set.values.columns);
  facts.low.assign(columns, kInfinity);
  facts.high.assign(columns, -kInfinity);
  facts.mean.assign(columns, 0.0);
  facts.square.assign(usize(problem.dim()), 0.0);
  double weight = 0.0;
  double keys = 0.0;
  for (const Part& part : parts) {
    keys += part.keys;
    for (std::size_t l = 0; l < facts.square.size(); ++l) {
      facts.square[l] += part.square[l];
    }
    facts.max_abs_key = std::max(facts.max_abs_key, part.max_abs);
    facts.max_key_norm = std::max(facts.max_key_norm, std::sqrt(part.max_square));
    weight += part.weight;
    for (std::size_t c = 0; c < columns; ++c) {
      facts.low[c] = std::min(facts.low[c], part.low[c]);
      facts.high[c] = std::max(facts.high[c], part.high[c]);
      facts.mean[c] += part.sum[c];
    }
  }
  for (double& square : facts.square) {
    square /= std::max(keys, 1.0);
  }
  for (std::size_t c = 0; c < columns; ++c) {
    facts.mean[c] = weight > 0.0 ? facts.mean[c] / weight : 0.0;
    if (facts.low[c] > facts.high[c]) {
      facts.low[c] = facts.high[c] = 0.0;
    }
  }
  return facts;
}

/// Least and largest product of a number of one interval and one of the other: they are at corners.
std::pair<double, double> product(double low, double high, double other_low, double other_high) noexcept {
  const auto [least, largest] = std::minmax({low * other_low, low * other_high, high * other_low, high * other_high});
  return {least, largest};
}

}  // namespace

double TupleFacts::range() const noexcept {
  double range = 0.0;
  for (std::size_t c = 0; c < low.size(); ++c) {
    range = std::max(range, high[c] - low[c]);
  }
  return range;
}

bool TupleFacts::empty() const noexcept {
  return std::any_of(sets.begin(), sets.end(), [](const SetFacts& set) { return set.visible == 0; });
}

TupleFacts measure_tuples(const TupleProblem& problem, const base::Context& context) {
  TupleFacts facts;
  const std::size_t columns = usize(problem.value_dim());
  facts.low.assign(columns, 1.0);
  facts.high.assign(columns, 1.0);
  facts.mean.assign(columns, 1.0);
  for (std::size_t s = 0; s < problem.sets.size(); ++s) {
    facts.sets.push_back(measure_set(problem, s, context));
    const SetFacts& set = facts.sets.back();
    for (std::size_t c = 0; c < columns; ++c) {
      std::tie(facts.low[c], facts.high[c]) = product(facts.low[c], facts.high[c], set.low[c], set.high[c]);
      facts.mean[c] *= set.mean[c];
    }
  }
  for (std::size_t c = 0; c < columns; ++c) {
    facts.max_abs_value = std::max({facts.max_abs_value, std::fabs(facts.low[c]), std::fabs(facts.high[c])});
  }
  Part queries;
  queries.square.assign(usize(problem.dim()), 0.0);
  std::vector<double> row(usize(problem.dim()));
  for (std::int64_t i = 0; i < problem.n_q(); ++i) {
    base::load_rows(problem.queries, i, 1, row.data(), problem.dim());
    add_key(row.data(), problem.dim(), queries);
  }
  facts.max_abs_query = queries.max_abs;
  facts.max_query_norm = std::sqrt(queries.max_square);
  double typical = 0.0;
  for (std::size_t l = 0; l < queries.square.size(); ++l) {
    double square = queries.square[l] / std::max(queries.keys, 1.0);
    for (const SetFacts& set : facts.sets) {
      square *= set.square[l];
    }
    typical += square;
  }
  facts.typical_score = std::fabs(problem.scale) * std::sqrt(typical);
  return facts;
}

InputStatistics tuple_statistics(const TupleProblem& problem, const TupleFacts& facts) {
  InputStatistics statistics;
  statistics.queries = problem.n_q();
  statistics.dim = problem.dim();
  statistics.value_dim = problem.value_dim();
  statistics.max_abs_query = facts.max_abs_query;
  statistics.max_abs_value = facts.max_abs_value;
  statistics.value_range = facts.range();
  double radius = std::fabs(problem.scale) * facts.max_query_norm;
  for (std::size_t s = 0; s < facts.sets.size(); ++s) {
    const SetFacts& set = facts.sets[s];
    statistics.keys += problem.sets[s].size();
    statistics.visible_keys += set.visible;
    statistics.keys_per_set.push_back(problem.sets[s].size());
    statistics.max_abs_key = std::max(statistics.max_abs_key, set.max_abs_key);
    radius *= s == 0 ? set.max_key_norm : set.max_abs_key;
  }
  statistics.radius_before = statistics.radius_after = radius;
  return statistics;
}

}  // namespace polyattn::planning
