// What layers would certify for sampled rows (layer_sample.hpp), by the formulas of
// engines/polynomial/layered_rows.cpp.

#include "engines/polynomial/layered_rows.hpp"
#include "numerics/rounding.hpp"
#include "planning/layer_sample.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace polyattn::planning {

using base::usize;

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
