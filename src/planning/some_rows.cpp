#include "planning/some_rows.hpp"

#include "engines/exact/certificate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace polyattn::planning {

namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

std::vector<std::int64_t> spaced(std::int64_t rows, std::int64_t most) {
  std::vector<std::int64_t> index;
  const std::int64_t count = std::min(most, rows);
  for (std::int64_t i = 0; i < count; ++i) {
    index.push_back((2 * i + 1) * rows / (2 * count));
  }
  return index;
}

SomeRows load(const base::Rows& rows, std::vector<std::int64_t> index) {
  SomeRows some;
  some.data.resize(index.size() * usize(rows.columns));
  double* at = some.data.data();
  for (const std::int64_t i : index) {
    base::load_rows(rows, i, 1, at, rows.columns);
    at += rows.columns;
  }
  some.index = std::move(index);
  return some;
}

std::vector<std::int64_t> visible_keys(const engines::HeadProblem& problem, std::int64_t most) {
  std::vector<std::int64_t> index = spaced(problem.n_kv(), most);
  if (problem.has_bias()) {
    index.erase(std::remove_if(index.begin(), index.end(),
                               [&](std::int64_t j) {
                                 double bias = 0.0;
                                 engines::load_bias(problem, j, 1, &bias);
                                 return bias == -kInfinity;
                               }),
                index.end());
  }
  return index;
}

Extremes extremes_of(const SomeRows& rows, std::size_t columns) {
  Extremes out{std::vector<double>(columns, kInfinity), std::vector<double>(columns, -kInfinity)};
  for (std::size_t i = 0; i < rows.index.size(); ++i) {
    double square = 0.0;
    for (std::size_t l = 0; l < columns; ++l) {
      const double x = rows.data[i * columns + l];
      out.low[l] = std::min(out.low[l], x);
      out.high[l] = std::max(out.high[l], x);
      square += x * x;
    }
    out.norm = std::max(out.norm, std::sqrt(square));
  }
  return out;
}

double likely_float32_bound(const engines::HeadProblem& problem, DType output, const SomeRows& queries,
                            const SomeRows& keys, const Extremes& values) {
  const Extremes q = extremes_of(queries, usize(problem.dim()));
  const Extremes k = extremes_of(keys, usize(problem.dim()));
  engines::KeyStatistics known;
  known.keys = known.visible = problem.n_kv();
  known.first_visible = 0;
  known.max_norm = k.norm;
  known.key_min = k.low;
  known.key_max = k.high;
  known.value_min = values.low;
  known.value_max = values.high;
  known.smallest_value = 0x1p-100;
  known.bias_min = known.bias_max = 0.0;
  known.keys_exact = base::fits_float32(problem.keys);
  known.values_exact = base::fits_float32(problem.values);
  const engines::QueryStatistics asked{q.norm, q.low, q.high, base::fits_float32(problem.queries)};
  const engines::ScoreFacts facts{problem.soft_cap, !problem.mask.from_first(), false};
  return engines::exact_bound<float>(problem.score, known, asked, output, facts).rounding;
}

double range_of(const Extremes& values) {
  double range = 0.0;
  for (std::size_t c = 0; c < values.low.size(); ++c) {
    range = std::max(range, values.high[c] - values.low[c]);
  }
  return range;
}

}  // namespace polyattn::planning
