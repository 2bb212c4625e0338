// A few rows of a head against a few of its keys, for predictions.

#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial/outlying_keys.hpp"
#include "planning/predict.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

namespace polyattn::planning {

namespace {

using base::usize;
using engines::Frame;

/// Strata of rows by radius end at these shares of all rows: the few of largest radius decide what falls to exact.
constexpr std::array kStrata{0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 1.0};

struct RankedRow {
  std::int64_t row = 0;
  double radius = 0.0;
};

/// Moments below this add nothing to a prediction.
constexpr double kNegligible = 1e-20;

/// Rows evenly spaced by ascending radius.
std::vector<RankedRow> ranked_rows(const engines::HeadProblem& problem, const Frame& frame) {
  const std::int64_t stride = std::max<std::int64_t>(1, problem.n_q() / kRankedRows);
  std::vector<RankedRow> rows;
  std::vector<double> centred(usize(frame.dim()));
  for (std::int64_t i = stride / 2; i < problem.n_q(); i += stride) {
    base::load_rows(problem.queries, i, 1, centred.data(), frame.dim());
    for (std::size_t l = 0; l < centred.size(); ++l) {
      centred[l] -= frame.query_centre[l];
    }
    rows.push_back({i, engines::row_radius(frame, centred.data()).radius});
  }
  std::sort(rows.begin(), rows.end(), [](const RankedRow& x, const RankedRow& y) {
    return x.radius < y.radius || (x.radius == y.radius && x.row < y.row);
  });
  return rows;
}

/// A few rows of every stratum, evenly spaced, the farthest of each among them, with the share they stand for.
std::vector<std::pair<std::int64_t, double>> stratified(const std::vector<RankedRow>& rows) {
  std::vector<std::pair<std::int64_t, double>> out;
  const auto count = static_cast<std::int64_t>(rows.size());
  std::int64_t first = 0;
  for (const double end : kStrata) {
    const std::int64_t last = end == 1.0 ? count : static_cast<std::int64_t>(end * static_cast<double>(count));
    const std::int64_t picks = std::min<std::int64_t>(last - first, kSampledRows);
    for (std::int64_t p = 1; p <= picks; ++p) {
      const std::int64_t at = first + (last - first) * p / picks - 1;
      out.emplace_back(rows[usize(at)].row,
                       static_cast<double>(last - first) / static_cast<double>(count) / static_cast<double>(picks));
    }
    first = std::max(first, last);
  }
  return out;
}

/// Keys of the sample as centred coordinates [count][dim] with the weight each stands for.
struct SampledKeys {
  std::vector<double> rows;
  std::vector<double> weight;
  std::vector<double> values;  ///< [count][value_dim]
};

SampledKeys sample_keys(const engines::HeadProblem& problem, const Frame& frame) {
  const std::int64_t dim = frame.dim();
  const std::int64_t stride = std::max<std::int64_t>(1, problem.n_kv() / kSampledKeys);
  SampledKeys keys;
  std::vector<double> row(usize(std::max(dim, problem.value_dim())));
  const auto add = [&](std::int64_t j, double multiplicity) {
    const double weight = std::exp(frame.log_weight[usize(j)] - frame.log_scale) * multiplicity;
    if (!(weight > 0.0)) {
      return;
    }
    base::load_rows(problem.keys, j, 1, row.data(), dim);
    if (engines::centred_square(frame.metric, row.data(), frame.key_centre) > frame.cut_square) {
      return;
    }
    for (std::int64_t l = 0; l < dim; ++l) {
      keys.rows.push_back(row[usize(l)] - frame.key_centre[usize(l)]);
    }
    keys.weight.push_back(weight);
    base::load_rows(problem.values, j, 1, row.data(), problem.value_dim());
    keys.values.insert(keys.values.end(), row.begin(), row.begin() + problem.value_dim());
  };
  for (std::int64_t j = stride / 2; j < problem.n_kv(); j += stride) {
    add(j, static_cast<double>(stride));
  }
  if (stride > 1) {  // the few keys that decide the radius stand for themselves
    for (const std::int64_t j : frame.far_keys) {
      add(j, 1.0);
    }
  }
  return keys;
}

/// Sums of products in a fixed number of chains, which compilers turn into vector code.
double dot(const std::vector<double>& a, const std::vector<double>& b) noexcept {
  constexpr std::size_t kChains = 8;
  std::array<double, kChains> sums{};
  std::size_t j = 0;
  for (; j + kChains <= a.size(); j += kChains) {
    for (std::size_t i = 0; i < kChains; ++i) {
      sums[i] += a[j + i] * b[j + i];
    }
  }
  double total = std::accumulate(sums.begin(), sums.end(), 0.0);
  for (; j < a.size(); ++j) {
    total += a[j] * b[j];
  }
  return total;
}

/// What keys set apart add to a row: their mass, and their part of the answer.
void add_outlying_keys(const Frame& frame, const std::vector<double>& centred, double weight, SampledRow& row) {
  const engines::OutlyingKeys& apart = *frame.outlying;
  const std::size_t dim = centred.size();
  const std::vector<double> others = row.answer;
  std::vector<double> sums(row.answer.size(), 0.0);
  for (std::size_t j = 0; j < apart.index.size(); ++j) {
    double score = apart.frame.log_weight[j] - frame.log_scale;
    for (std::size_t l = 0; l < dim; ++l) {
      score += frame.metric[l] * centred[l] * (apart.key_rows[j * dim + l] - frame.key_centre[l]);
    }
    const double mass = std::exp(std::min(score, 600.0)) / weight;
    row.outlying += mass;
    for (std::size_t c = 0; c < sums.size(); ++c) {
      sums[c] += mass * apart.value_rows[j * sums.size() + c];
    }
  }
  const double whole = row.mass + row.outlying;
  for (std::size_t c = 0; c < sums.size(); ++c) {
    row.answer[c] = (row.mass * others[c] + sums[c]) / whole;
    row.away = std::max(row.away, std::fabs(row.answer[c] - others[c]));
  }
}

/// Means of the values by w s^2, which chords are taken at.
void pull(const SampledKeys& keys, const std::vector<double>& power, const std::vector<double>& score,
          SampledRow& row) {
  const std::size_t value_dim = row.answer.size();
  row.pulled.assign(value_dim, 0.0);
  double total = 0.0;
  for (std::size_t j = 0; j < score.size(); ++j) {
    const double second = power[j] * score[j] * score[j];
    total += second;
    for (std::size_t c = 0; c < value_dim; ++c) {
      row.pulled[c] += second * keys.values[j * value_dim + c];
    }
  }
  for (std::size_t c = 0; c < value_dim; ++c) {
    row.pulled[c] = total > 0.0 ? row.pulled[c] / total : row.answer[c];
  }
}

/// The value-weighted second moment.
void spread_out(const engines::ValueRange& values, const SampledKeys& keys, const std::vector<double>& power,
                const std::vector<double>& score, SampledRow& row) {
  const std::size_t value_dim = row.answer.size();
  std::vector<double> spread(value_dim, 0.0);
  for (std::size_t j = 0; j < score.size(); ++j) {
    const double second = power[j] * score[j] * score[j];
    for (std::size_t c = 0; c < value_dim; ++c) {
      spread[c] += second * (std::fabs(keys.values[j * value_dim + c] - values.centre[c]) +
                             std::fabs(row.answer[c] - values.centre[c]));
    }
  }
  for (const double x : spread) {
    row.spread = std::max(row.spread, x);
  }
}

/// What the scores of a row lack, all the same for its keys, in the frame's coordinates.
double row_factor(const engines::HeadProblem& problem, const Frame& frame,
                  const std::vector<double>& centred) noexcept {
  const bool gaussian = problem.score.kind == engines::ScoreKind::gaussian;
  double factor = frame.log_scale;
  for (std::size_t l = 0; l < centred.size(); ++l) {
    const double q = frame.metric[l] * centred[l];
    factor += q * (frame.key_centre[l] - (gaussian ? frame.query_centre[l] + 0.5 * centred[l] : 0.0));
  }
  return factor;
}

SampledRow sample_row(const Frame& frame, const engines::ValueRange& values, const SampledKeys& keys,
                      const std::vector<double>& centred, double weight) {
  SampledRow row;
  row.radius = engines::row_radius(frame, centred.data());
  const std::size_t dim = centred.size();
  const std::size_t count = keys.weight.size();
  const std::size_t value_dim = values.low.size();
  row.answer.assign(value_dim, 0.0);
  std::vector<double> score(count);
  std::vector<double> share(count);
  std::vector<double> power(count);  // w s^t, per unit of weight
  for (std::size_t j = 0; j < count; ++j) {
    double sum = 0.0;
    for (std::size_t l = 0; l < dim; ++l) {
      sum += frame.metric[l] * centred[l] * keys.rows[j * dim + l];
    }
    score[j] = sum;
    power[j] = keys.weight[j] / weight;
    share[j] = power[j] * std::exp(std::min(sum, 600.0));
    row.mass += share[j];
  }
  for (std::size_t j = 0; j < count; ++j) {
    const double part = share[j] / row.mass;
    for (std::size_t c = 0; c < value_dim; ++c) {
      row.answer[c] += part * keys.values[j * value_dim + c];
    }
  }
  if (frame.outlying != nullptr) {
    add_outlying_keys(frame, centred, weight, row);
  }
  const bool few = static_cast<std::int64_t>(value_dim) < engines::kChordColumns;
  few ? pull(keys, power, score, row) : spread_out(values, keys, power, score, row);
  row.moments.push_back(std::accumulate(power.begin(), power.end(), 0.0));
  double largest = 1.0;  // of |s|^t
  for (int t = 1; t <= kMaxPlannedDegree; ++t) {
    largest *= row.radius.radius;
    if (largest < kNegligible) {
      row.moments.resize(usize(kMaxPlannedDegree + 1), 0.0);
      break;
    }
    row.moments.push_back(dot(power, score));
    for (std::size_t j = 0; j < count; ++j) {
      power[j] *= score[j];
    }
  }
  return row;
}

}  // namespace

Sample draw_sample(const engines::HeadProblem& problem, const Frame& frame, const engines::ValueRange& values,
                   double share, const base::Context& context) {
  Sample sample;
  sample.queries = problem.n_q();
  const SampledKeys keys = sample_keys(problem, frame);
  sample.weight = std::accumulate(keys.weight.begin(), keys.weight.end(), 0.0);
  const std::size_t value_dim = usize(problem.value_dim());
  for (std::size_t c = 0; c < value_dim; ++c) {
    double square = 0.0;
    for (std::size_t j = 0; j < keys.weight.size(); ++j) {
      const double away = keys.values[j * value_dim + c] - values.centre[c];
      square += keys.weight[j] / sample.weight * away * away;
    }
    sample.deviation.push_back(std::sqrt(square));
  }
  if (!(sample.weight > 0.0) || problem.n_q() == 0) {
    return sample;
  }
  const std::vector<RankedRow> ranked = ranked_rows(problem, frame);
  const auto last = static_cast<double>(ranked.size() - 1);
  const double largest = usize(problem.n_q()) == ranked.size() ? ranked.back().radius : frame.radius;
  sample.served_radius = share == 1.0 ? largest : ranked[usize(std::llround(share * last))].radius;
  const auto chosen = stratified(ranked);
  sample.rows.resize(chosen.size());
  base::parallel_for(context, static_cast<std::int64_t>(chosen.size()), [&](std::int64_t i, int) {
    std::vector<double> row(usize(frame.dim()));
    base::load_rows(problem.queries, chosen[usize(i)].first, 1, row.data(), frame.dim());
    for (std::size_t l = 0; l < row.size(); ++l) {
      row[l] -= frame.query_centre[l];
    }
    sample.rows[usize(i)] = sample_row(frame, values, keys, row, sample.weight);
    SampledRow& sampled = sample.rows[usize(i)];
    sampled.share = chosen[usize(i)].second;
    sampled.lse = std::log((sampled.mass + sampled.outlying) * sample.weight) + row_factor(problem, frame, row);
  });
  return sample;
}

}  // namespace polyattn::planning
