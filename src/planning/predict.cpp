#include "planning/predict.hpp"

#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial/row_certificate.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
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

SampledRow sample_row(const Frame& frame, const SampledKeys& keys, const std::vector<double>& centred, double weight) {
  SampledRow row;
  row.radius = engines::row_radius(frame, centred.data());
  row.moments.assign(kMaxPlannedDegree + 1, 0.0);
  const std::size_t dim = centred.size();
  const std::size_t value_dim = keys.weight.empty() ? 0 : keys.values.size() / keys.weight.size();
  row.answer.assign(value_dim, 0.0);
  double mass = 0.0;
  for (std::size_t j = 0; j < keys.weight.size(); ++j) {
    double score = 0.0;
    for (std::size_t l = 0; l < dim; ++l) {
      score += frame.metric[l] * centred[l] * keys.rows[j * dim + l];
    }
    const double share = keys.weight[j] * std::exp(std::min(score, 600.0));
    mass += share;
    for (std::size_t c = 0; c < value_dim; ++c) {
      row.answer[c] += share * keys.values[j * value_dim + c];
    }
    double power = keys.weight[j] / weight;
    for (double& moment : row.moments) {
      moment += power;
      power *= score;
    }
  }
  for (double& x : row.answer) {
    x /= mass;
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
    sample.rows[usize(i)] = sample_row(frame, keys, row, sample.weight);
    sample.rows[usize(i)].share = chosen[usize(i)].second;
  });
  return sample;
}

namespace {

/// What errors are multiplied with: how far values are from an answer, at most, or in the mean where chords say so. A
/// tenth more, and a fifth on top of means, as values may go with large scores.
double distance(const engines::ValueRange& values, const std::vector<double>& answer) noexcept {
  double largest = 0.0;
  for (std::size_t c = 0; c < answer.size(); ++c) {
    const double above = std::max(values.high[c] - answer[c], 0.0);
    const double below = std::max(answer[c] - values.low[c], 0.0);
    double column = 1.1 * std::max(above, below);
    if (static_cast<std::int64_t>(answer.size()) < engines::kChordColumns && above + below > 0.0) {
      column = std::min(column, 1.2 * 1.1 * 2.0 * above * below / (above + below));
    }
    largest = std::max(largest, column);
  }
  return std::min(largest, values.range());
}

}  // namespace

Prediction predict(const Sample& sample, const Frame& frame, const engines::ValueRange& values, std::int64_t rank,
                   const engines::PolynomialTable& table, Arithmetic arithmetic, DType output, std::int64_t keys,
                   double tolerance) {
  engines::RoundingModel rounding = arithmetic == Arithmetic::float32
                                        ? engines::rounding_model<float>(table.degree, rank, keys)
                                        : engines::rounding_model<double>(table.degree, rank, keys);
  engines::KeySideBounds bounds;
  bounds.weight_low = bounds.weight_high = 1.0;
  bounds.range = values.range();
  for (const double z : frame.z) {
    bounds.z_sum += std::fabs(z);
  }
  double largest_absolute = 0.0;
  for (std::size_t c = 0; c < values.low.size(); ++c) {
    largest_absolute = std::max(largest_absolute, sample.deviation[c]);  // E|v - mu| <= its deviation
  }
  bounds.largest_deviation = largest_absolute;
  bounds.largest_absolute = largest_absolute;
  Prediction all;
  Prediction good;
  double failing = 0.0;
  bool some = false;
  for (const SampledRow& row : sample.rows) {
    const engines::RowCertificate certificate =
        engines::certify_row(frame, bounds, rounding, table, rank, static_cast<double>(keys) / sample.weight,
                             row.radius, frame.far.at(row.radius.norm) / sample.weight, row.moments.data(), 1);
    const double uniform = certificate.uniform * bounds.largest_deviation * 1.1;
    const double moments = certificate.error * distance(values, row.answer);
    double bound = std::min(uniform, moments) + certificate.rounding_scale * largest_absolute + certificate.tiny +
                   0.2 * bounds.range * certificate.rounding_denominator;
    bound = bound / certificate.denominator_low +
            bounds.range * (numerics::perturbation(certificate.perturbation) + certificate.lost +
                            certificate.far / certificate.denominator_low) +
            (output == DType::float32 ? numerics::kU32 : 0.0) * values.max_abs;
    const bool fails =
        certificate.polynomial == nullptr || !(bound <= tolerance) || !(certificate.denominator_low > 0.0);
    failing += fails ? row.share : 0.0;
    some = some || !fails;
    all.bound =
        std::max(all.bound, certificate.polynomial == nullptr ? std::numeric_limits<double>::infinity() : bound);
    if (!fails) {
      good.bound = std::max(good.bound, bound);
    }
  }
  if (sample.rows.empty()) {  // no sampled key had any weight: nothing is known, so nothing is promised
    return {std::numeric_limits<double>::infinity(), 1.0};
  }
  return {some ? good.bound : all.bound, some ? std::min(1.0, failing) : 1.0};
}

double a_priori_bound(const Frame& frame, const engines::ValueRange& values, const engines::PolynomialTable& table,
                      const engines::RoundingModel& rounding, std::int64_t keys, DType output) {
  // D >= W exp(-shift), shift a bound on the mean score: the centre is the weighted mean up to a sum of float64 numbers
  // and keys of weight below e^-42. Then b = |T* - T| <= x (range + b) with x = (delta + 2 gamma P_abs(R)) exp(shift).
  const auto count = static_cast<double>(keys);
  double shift = 0.0;
  for (std::size_t l = 0; l < frame.metric.size(); ++l) {
    const double mean_error =
        (5000.0 + count / 4000.0) * numerics::kU64 * (std::fabs(frame.key_centre[l]) + frame.key_half[l]) +
        count * 1e-18 * frame.key_half[l];
    shift += std::fabs(frame.metric[l]) * frame.query_half[l] * std::min(mean_error, frame.key_half[l]);
  }
  const engines::TableEntry& entry = table.entries.front().front();
  double absolute = 0.0;
  double power = 1.0;
  for (const double c : entry.coefficients) {
    absolute += std::fabs(c) * power;
    power *= table.radii.front();
  }
  const double lost = count * rounding.lost * std::exp(table.radii.front());
  const double x = (entry.uniform + 2.0 * rounding.gamma * absolute + lost) * std::exp(shift) * (1.0 + 1e-9);
  if (!(x < 1.0)) {
    return std::numeric_limits<double>::infinity();
  }
  const double zeta = rounding.score * frame.radius + rounding.weight + frame.weight_error;
  const double stored = (output == DType::float32 ? numerics::kU32 : 0.0) * values.max_abs + 0x1p-149;
  return (values.range() * (x / (1.0 - x) + lost + numerics::perturbation(zeta)) + stored +
          8.0 * numerics::kU64 * values.max_abs) *
         (1.0 + 1e-9);
}

}  // namespace polyattn::planning
