#include "planning/layer_sample.hpp"

#include "numerics/balancing.hpp"
#include "planning/some_rows.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace polyattn::planning {

namespace {

using base::usize;

constexpr std::int64_t kBalancedRows = 512;  ///< of either side, that the maps are made from
constexpr std::int64_t kNormedRows = 1024;   ///< looked at for their norm, so that the few far ones are not missed
constexpr std::size_t kRows = 6;             ///< of each stratum, whose certificates are estimated
/// Strata of rows by norm end at these shares of all rows.
constexpr std::array kStrata{0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.996, 1.0};
constexpr std::int64_t kKeys = 384;       ///< against which they are
constexpr std::int64_t kMeasured = 1024;  ///< keys whose extents are measured
/// The largest norm of all keys over that of those measured.
constexpr double kBeyond = 1.1;

/// Rows less a centre, times a factor per axis, under a map [dim][dim].
std::vector<double> mapped(const SomeRows& rows, const std::vector<double>& centre, const std::vector<double>& map) {
  const std::size_t dim = centre.size();
  std::vector<double> out(rows.index.size() * dim, 0.0);
  std::vector<double> columns(dim * dim);  // of the map: sums then run along rows, which compilers turn into vectors
  for (std::size_t i = 0; i < dim; ++i) {
    for (std::size_t l = 0; l < dim; ++l) {
      columns[l * dim + i] = map[i * dim + l];
    }
  }
  for (std::size_t r = 0; r < rows.index.size(); ++r) {
    double* to = out.data() + r * dim;
    for (std::size_t l = 0; l < dim; ++l) {
      const double centred = rows.data[r * dim + l] - centre[l];
      const double* column = columns.data() + l * dim;
      for (std::size_t i = 0; i < dim; ++i) {
        to[i] += column[i] * centred;
      }
    }
  }
  return out;
}

std::vector<double> transposed(const std::vector<double>& rows, std::size_t columns) {
  std::vector<double> out(rows.size());
  const std::size_t count = rows.size() / columns;
  for (std::size_t r = 0; r < count; ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      out[c * count + r] = rows[r * columns + c];
    }
  }
  return out;
}

/// sum of weight (x - centre) (x - centre)^T with a factor per axis on both sides.
std::vector<double> second_moments(const SomeRows& rows, const std::vector<double>& centre,
                                   const std::vector<double>& factor, const std::vector<double>& weight) {
  const std::size_t dim = centre.size();
  std::vector<double> out(dim * dim, 0.0);
  std::vector<double> centred(dim);
  for (std::size_t r = 0; r < rows.index.size(); ++r) {
    for (std::size_t l = 0; l < dim; ++l) {
      centred[l] = factor[l] * (rows.data[r * dim + l] - centre[l]);
    }
    for (std::size_t a = 0; a < dim; ++a) {
      const double scaled = weight[r] * centred[a];
      double* to = out.data() + a * dim;
      for (std::size_t b = 0; b < dim; ++b) {
        to[b] += scaled * centred[b];
      }
    }
  }
  return out;
}

std::vector<double> weights_of(const engines::Frame& frame, const SomeRows& keys) {
  std::vector<double> out;
  for (const std::int64_t j : keys.index) {
    out.push_back(std::exp(frame.log_weight[usize(j)] - frame.log_scale));
  }
  return out;
}

/// Norms of leading and trailing coordinates, largest of all keys.
void measure_norms(const std::vector<double>& keys, LayerSample& sample) {
  const std::size_t dim = usize(sample.dim);
  sample.strong.assign(dim + 1, 0.0);
  sample.weak.assign(dim + 1, 0.0);
  sample.half.assign(dim, 0.0);
  for (std::size_t j = 0; j < keys.size(); j += dim) {
    double square = 0.0;
    for (std::size_t l = 0; l < dim; ++l) {
      square += keys[j + l] * keys[j + l];
      sample.strong[l + 1] = std::max(sample.strong[l + 1], kBeyond * std::sqrt(square));
      sample.half[l] = std::max(sample.half[l], kBeyond * std::fabs(keys[j + l]));
    }
    square = 0.0;
    for (std::size_t l = dim; l-- > 0;) {
      square += keys[j + l] * keys[j + l];
      sample.weak[l] = std::max(sample.weak[l], kBeyond * std::sqrt(square));
    }
  }
}

/// A few rows of every stratum of norms, the farthest of each among them, with the share they stand for.
void draw_rows(const std::vector<double>& rows, LayerSample& sample) {
  const std::size_t dim = usize(sample.dim);
  std::vector<std::pair<double, std::size_t>> ranked;
  for (std::size_t i = 0; i < rows.size(); i += dim) {
    double square = 0.0;
    for (std::size_t l = 0; l < dim; ++l) {
      square += rows[i + l] * rows[i + l];
    }
    ranked.emplace_back(square, i);
  }
  std::sort(ranked.begin(), ranked.end());
  std::size_t first = 0;
  for (const double end : kStrata) {
    const std::size_t last =
        end == 1.0 ? ranked.size() : static_cast<std::size_t>(end * static_cast<double>(ranked.size()));
    const std::size_t picks = std::min(last - first, kRows);
    for (std::size_t p = 1; p <= picks; ++p) {
      const std::size_t at = ranked[first + (last - first) * p / picks - 1].second;
      sample.queries.insert(sample.queries.end(), rows.begin() + static_cast<std::ptrdiff_t>(at),
                            rows.begin() + static_cast<std::ptrdiff_t>(at + dim));
      sample.share.push_back(static_cast<double>(last - first) / static_cast<double>(ranked.size() * picks));
    }
    first = last;
  }
}

void draw_values(const engines::HeadProblem& problem, const engines::ValueRange& values, const SomeRows& keys,
                 LayerSample& sample) {
  sample.values = load(problem.values, keys.index).data;
  const std::size_t value_dim = usize(problem.value_dim());
  for (std::size_t c = 0; c < value_dim; ++c) {
    double square = 0.0;
    for (std::size_t j = 0; j < sample.weight.size(); ++j) {
      const double away = sample.values[j * value_dim + c] - values.centre[c];
      square += sample.weight[j] * away * away;
    }
    sample.deviation = std::max(sample.deviation, std::sqrt(square));
  }
}

}  // namespace

std::optional<LayerSample> draw_layer_sample(const engines::HeadProblem& problem, const engines::Frame& frame,
                                             const engines::ValueRange& values) {
  const std::size_t dim = usize(problem.dim());
  LayerSample sample;
  sample.dim = problem.dim();
  const SomeRows queries = load(problem.queries, spaced(problem.n_q(), kBalancedRows));
  const SomeRows some = load(problem.keys, visible_keys(problem, kBalancedRows));
  const std::vector<double> weight = weights_of(frame, some);
  auto found = numerics::balance(
      second_moments(queries, frame.query_centre, frame.metric, std::vector<double>(queries.index.size(), 1.0)),
      second_moments(some, frame.key_centre, std::vector<double>(dim, 1.0), weight), static_cast<int>(dim));
  if (!found) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < found->query.size(); ++i) {
    found->query[i] *= frame.metric[i % dim];
  }
  sample.maps = {std::move(found->query), std::move(found->key)};
  draw_rows(mapped(load(problem.queries, spaced(problem.n_q(), kNormedRows)), frame.query_centre, sample.maps.query),
            sample);
  std::vector<std::int64_t> wide = visible_keys(problem, kMeasured);
  wide.insert(wide.end(), frame.far_keys.begin(), frame.far_keys.end());
  measure_norms(mapped(load(problem.keys, std::move(wide)), frame.key_centre, sample.maps.key), sample);
  const SomeRows keys = load(problem.keys, visible_keys(problem, kKeys));
  sample.keys = transposed(mapped(keys, frame.key_centre, sample.maps.key), dim);
  sample.weight = weights_of(frame, keys);
  double sum = 0.0;
  for (const double w : sample.weight) {
    sum += w;
  }
  if (!(sum > 0.0) || sample.queries.empty()) {
    return std::nullopt;
  }
  for (double& w : sample.weight) {
    w /= sum;
  }
  sample.sum_weight = sum * static_cast<double>(frame.visible_keys) / static_cast<double>(keys.index.size());
  draw_values(problem, values, keys, sample);
  return sample;
}

}  // namespace polyattn::planning
