#include "planning/tuple_facts.hpp"

#include "engines/tuple_sets.hpp"
#include "numerics/interval.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::planning {

namespace {

using base::usize;
using engines::KeyRange;
using engines::TupleProblem;

constexpr std::int64_t kRows = 512;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A block of keys of a set, or of queries: extremes, and sums with weights exp(bias - top).
struct Part {
  double max_square = 0.0;  ///< of a norm
  double weight = 0.0;
  double rows = 0.0;
  std::vector<double> largest;  ///< |coordinate|
  std::vector<double> square;   ///< of the coordinates, summed
  std::vector<double> low, high, sum;

  [[nodiscard]] double max_abs() const noexcept {
    return largest.empty() ? 0.0 : *std::max_element(largest.begin(), largest.end());
  }
};

constexpr double kLargest = std::numeric_limits<double>::max();

void add_key(const double* key, Part& part) noexcept {
  double square = 0.0;
  const std::size_t dim = part.largest.size();
  for (std::size_t l = 0; l < dim; ++l) {
    const double size = std::fabs(key[l]);
    const double x = size <= kLargest ? size : 0.0;
    part.largest[l] = part.largest[l] < x ? x : part.largest[l];
    part.square[l] += x * x;
    square += x * x;
  }
  part.max_square = std::max(part.max_square, square);
  part.rows += 1.0;
}

void add_value(const double* value, double weight, Part& part) noexcept {
  part.weight += weight;
  for (std::size_t c = 0; c < part.low.size(); ++c) {
    const bool finite = std::fabs(value[c]) <= kLargest;
    part.low[c] = finite && value[c] < part.low[c] ? value[c] : part.low[c];
    part.high[c] = finite && value[c] > part.high[c] ? value[c] : part.high[c];
    part.sum[c] += finite ? weight * value[c] : 0.0;
  }
}

Part part_of(std::int64_t dim, std::int64_t columns) {
  Part part;
  part.largest.assign(usize(dim), 0.0);
  part.square.assign(usize(dim), 0.0);
  part.low.assign(usize(columns), kInfinity);
  part.high.assign(usize(columns), -kInfinity);
  part.sum.assign(usize(columns), 0.0);
  return part;
}

Part measure_part(const engines::KeySet& set, const std::vector<double>& bias, double top, KeyRange keys) {
  const std::int64_t dim = set.keys.columns;
  const std::int64_t columns = set.values.columns;
  Part part = part_of(dim, columns);
  std::vector<double> key(usize(keys.size() * dim));
  std::vector<double> value(usize(keys.size() * columns));
  base::load_rows(set.keys, keys.first, keys.size(), key.data(), dim);
  base::load_rows(set.values, keys.first, keys.size(), value.data(), columns);
  for (std::int64_t j = 0; j < keys.size(); ++j) {
    const double own = bias[usize(keys.first + j)];
    if (own == -kInfinity) {
      continue;
    }
    add_key(key.data() + j * dim, part);
    const double weight = own == top ? 1.0 : std::exp(own - top);
    add_value(value.data() + j * columns, std::isfinite(weight) ? weight : 0.0, part);
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
    keys += part.rows;
    for (std::size_t l = 0; l < facts.square.size(); ++l) {
      facts.square[l] += part.square[l];
    }
    facts.max_abs_key = std::max(facts.max_abs_key, part.max_abs());
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

Part measure_queries(const TupleProblem& problem) {
  Part part = part_of(problem.dim(), 0);
  std::vector<double> rows(usize(kRows * problem.dim()));
  for (std::int64_t first = 0; first < problem.n_q(); first += kRows) {
    const std::int64_t count = std::min(kRows, problem.n_q() - first);
    base::load_rows(problem.queries, first, count, rows.data(), problem.dim());
    for (std::int64_t i = 0; i < count; ++i) {
      add_key(rows.data() + i * problem.dim(), part);
    }
  }
  return part;
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
      const numerics::Interval product =
          numerics::interval_product({facts.low[c], facts.high[c]}, {set.low[c], set.high[c]});
      facts.low[c] = product.low;
      facts.high[c] = product.high;
      facts.mean[c] *= set.mean[c];
    }
  }
  for (std::size_t c = 0; c < columns; ++c) {
    facts.max_abs_value = std::max({facts.max_abs_value, std::fabs(facts.low[c]), std::fabs(facts.high[c])});
  }
  const Part queries = measure_queries(problem);
  facts.max_abs_query = queries.max_abs();
  facts.max_query_norm = std::sqrt(queries.max_square);
  double typical = 0.0;
  for (std::size_t l = 0; l < queries.square.size(); ++l) {
    double square = queries.square[l] / std::max(queries.rows, 1.0);
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
