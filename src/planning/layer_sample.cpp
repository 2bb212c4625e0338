#include "planning/layer_sample.hpp"

#include "engines/polynomial/layered_rows.hpp"
#include "numerics/balancing.hpp"
#include "numerics/rounding.hpp"
#include "planning/some_rows.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
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

namespace {

/// In a fixed number of chains, which compilers turn into vectors.
double sum_of(const std::vector<double>& x) noexcept {
  std::array<double, 8> sums{};
  std::size_t j = 0;
  for (; j + sums.size() <= x.size(); j += sums.size()) {
    for (std::size_t i = 0; i < sums.size(); ++i) {
      sums[i] += x[j + i];
    }
  }
  double total = std::accumulate(sums.begin(), sums.end(), 0.0);
  for (; j < x.size(); ++j) {
    total += x[j];
  }
  return total;
}

/// How far values are from an answer: at most, and in the mean where chords say so; as predictions do (predict.cpp).
void set_distances(const LayerSample& sample, const engines::ValueRange& values, const std::vector<double>& share,
                   LayerRow& row) {
  const std::size_t value_dim = values.low.size();
  for (std::size_t c = 0; c < value_dim; ++c) {
    double answer = 0.0;
    for (std::size_t j = 0; j < share.size(); ++j) {
      answer += share[j] / row.mass * sample.values[j * value_dim + c];
    }
    const double above = std::max(values.high[c] - answer, 0.0);
    const double below = std::max(answer - values.low[c], 0.0);
    const double most = std::max(above, below);
    double column = most;
    if (static_cast<std::int64_t>(value_dim) < engines::kChordColumns && above + below > 0.0) {
      column = std::min(column, 1.3 * 2.0 * above * below / (above + below));
    }
    row.typical = std::max(row.typical, column);
    row.farthest = std::max(row.farthest, most);
  }
}

}  // namespace

LayerAnswers layer_answers(const LayerSample& sample, const engines::ValueRange& values) {
  const std::size_t dim = usize(sample.dim);
  const std::size_t count = sample.weight.size();
  LayerAnswers out;
  std::vector<double> share(count);
  for (std::size_t i = 0; i < sample.queries.size(); i += dim) {
    LayerRow row;
    std::vector<double> score(count, 0.0);
    for (std::size_t l = 0; l < dim; ++l) {
      const double q = sample.queries[i + l];
      const double* keys = sample.keys.data() + l * count;
      for (std::size_t j = 0; j < count; ++j) {
        score[j] += q * keys[j];
      }
    }
    for (std::size_t j = 0; j < count; ++j) {
      share[j] = sample.weight[j] * std::exp(std::min(score[j], 600.0));
      row.mass += share[j];
    }
    set_distances(sample, values, share, row);
    out.score.insert(out.score.end(), score.begin(), score.end());
    out.rows.push_back(std::move(row));
  }
  return out;
}

namespace {

/// Extents of a row's strong and weak scores.
void set_extents(const LayerSample& sample, const double* q, std::size_t cut, LayerRow& row) {
  double norm1 = 0.0;
  double norm2 = 0.0;
  double box1 = 0.0;
  double box2 = 0.0;
  for (std::size_t l = 0; l < usize(sample.dim); ++l) {
    (l < cut ? norm1 : norm2) += q[l] * q[l];
    (l < cut ? box1 : box2) += std::fabs(q[l]) * sample.half[l];
  }
  row.radius = std::min(std::sqrt(norm1) * sample.strong[cut], box1);
  row.reach = std::min(std::sqrt(norm2) * sample.weak[cut], box2);
  const double largest = std::exp(std::min(row.radius, 600.0));
  row.curvature = engines::second_order(row.reach) * largest;
  row.size = largest * (1.0 + row.reach);
}

}  // namespace

std::vector<LayerRow> layer_rows(const LayerSample& sample, const LayerAnswers& answers, std::int64_t strong,
                                 int degree) {
  const std::size_t dim = usize(sample.dim);
  const std::size_t count = sample.weight.size();
  std::vector<LayerRow> out = answers.rows;
  std::vector<double> power(count);
  std::vector<double> square(count);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double* q = sample.queries.data() + i * dim;
    LayerRow& row = out[i];
    set_extents(sample, q, usize(strong), row);
    std::vector<double> score(count, 0.0);
    for (std::size_t l = 0; l < usize(strong); ++l) {
      const double* keys = sample.keys.data() + l * count;
      for (std::size_t j = 0; j < count; ++j) {
        score[j] += q[l] * keys[j];
      }
    }
    for (std::size_t j = 0; j < count; ++j) {
      const double t = answers.score[i * count + j] - score[j];
      power[j] = sample.weight[j] * t * t;
      square[j] = score[j] * score[j];
    }
    row.tau = sum_of(power);
    power = sample.weight;
    for (int q2 = 0; 2 * q2 <= degree; ++q2) {
      row.even.push_back(sum_of(power));
      for (std::size_t j = 0; j < count; ++j) {
        power[j] *= square[j];
      }
    }
  }
  return out;
}

StrongErrors strong_errors(const std::vector<LayerRow>& rows, const ErrorTable& table) {
  StrongErrors out;
  for (const LayerRow& row : rows) {
    std::size_t at = 0;
    while (at + 1 < table.radii.size() && table.radii[at + 1] >= row.radius) {
      ++at;
    }
    double moment = std::numeric_limits<double>::infinity();
    double uniform = moment;
    double power = 1.0;
    for (std::size_t q = 0; q < table.errors[at].size(); ++q) {
      moment = std::min(moment, table.errors[at][q] * row.even[q]);
      uniform = std::min(uniform, table.errors[at][q] * power);
      power *= table.radii[at] * table.radii[at];
    }
    out.at.push_back(at);
    out.moment.push_back(moment);
    out.uniform.push_back(uniform);
  }
  return out;
}

std::vector<double> layer_bounds(const LayerSample& sample, const std::vector<LayerRow>& rows,
                                 const engines::ValueRange& values, const StrongErrors& strong, int degree,
                                 const ErrorTable& first_table, const engines::RoundingModel& rounding, DType output) {
  std::vector<double> out;
  const double range = values.range();
  const double stored = (output == DType::float32 ? numerics::kU32 : 0.0) * values.max_abs;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const LayerRow& row = rows[i];
    const std::vector<double>& errors = first_table.errors[strong.at[i]];
    const double root = std::sqrt(row.tau);
    double first = std::numeric_limits<double>::infinity();
    for (std::size_t q = 0; q < errors.size() && 4 * q <= usize(degree); ++q) {
      first = std::min(first, errors[q] * std::sqrt(row.even[2 * q]) * root);
    }
    const double weak = first + row.curvature * row.tau;
    const double weak_uniform = (errors[0] + row.curvature * row.reach) * root;
    const double absolute = rounding.gamma * row.size;
    const double low = row.mass - absolute - strong.moment[i] - weak;
    const double numerator = std::min(strong.moment[i] * row.typical + weak * row.farthest,
                                      1.1 * (strong.uniform[i] + weak_uniform) * sample.deviation);
    const double moved = rounding.score * (row.radius + row.reach) + rounding.weight;
    const double bound = (numerator + absolute * (sample.deviation + 0.2 * range)) / low +
                         range * numerics::perturbation(moved) + stored;
    out.push_back(low > 0.0 ? bound : std::numeric_limits<double>::infinity());
  }
  return out;
}

}  // namespace polyattn::planning
