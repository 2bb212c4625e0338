#include "planning/predict.hpp"

#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial/outlying_part.hpp"
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
    for (std::size_t c = 0; c < value_dim; ++c) {
      row.answer[c] += share[j] / row.mass * keys.values[j * value_dim + c];
    }
  }
  if (frame.outlying != nullptr) {
    add_outlying_keys(frame, centred, weight, row);
  }
  std::vector<double> spread(value_dim, 0.0);
  for (std::size_t j = 0; j < count; ++j) {
    const double second = power[j] * score[j] * score[j];
    for (std::size_t c = 0; c < value_dim; ++c) {
      spread[c] += second * (std::fabs(keys.values[j * value_dim + c] - values.centre[c]) +
                             std::fabs(row.answer[c] - values.centre[c]));
    }
  }
  for (const double x : spread) {
    row.spread = std::max(row.spread, x);
  }
  row.moments.push_back(std::accumulate(power.begin(), power.end(), 0.0));
  for (int t = 1; t <= kMaxPlannedDegree; ++t) {
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

ErrorSeries::ErrorSeries(double radius, int highest_degree) : highest_degree_(highest_degree), radii_{radius} {
  constexpr double kSteps = 2.0;  // an octave
  for (int step = 1; step <= kSteps * engines::kLadderOctaves && radius > 0.0; ++step) {
    radii_.push_back(radius * std::exp2(-step / kSteps));
  }
  series_.resize(radii_.size());
}

ErrorTable ErrorSeries::table(int degree) {
  ErrorTable out;
  out.degree = degree;
  out.radii = radii_;
  for (std::size_t r = 0; r < radii_.size(); ++r) {
    std::vector<double> row;
    for (int q = 0; 2 * q <= degree; ++q) {
      if (series_[r].size() <= usize(q)) {
        series_[r].emplace_back(radii_[r], q, highest_degree_);
      }
      row.push_back(series_[r][usize(q)].truncation_error(degree));
    }
    out.errors.push_back(std::move(row));
  }
  return out;
}

namespace {

/// What the bounds of a row are made of that is the same for all rows.
struct Common {
  const ErrorTable& table;
  engines::RoundingModel rounding;
  double range = 0.0;
  double deviation = 0.0;  ///< largest of a column
  bool spread = false;
  bool varied = false;  ///< polynomials are chosen by the variance too
  engines::OutlyingBounds outlying{};
};

/// What rounding in the exact part of a row may add to D |T* - T|.
double exact_part(const Common& common, const SampledRow& row, double range) noexcept {
  if (row.outlying == 0.0) {
    return 0.0;
  }
  const engines::DiagonalBound* bound = common.outlying.at(row.radius.norm);
  return bound == nullptr ? std::numeric_limits<double>::infinity()
                          : row.outlying * (bound->denominator_error * range + bound->answer_error);
}

/// sum w |e| |v - T*| of the polynomial a row takes, per unit of weight, and sum w |e|.
struct RowError {
  double numerator = std::numeric_limits<double>::infinity();
  double denominator = std::numeric_limits<double>::infinity();
};

RowError row_error(const Common& common, const SampledRow& row, double away) noexcept {
  RowError best;
  const std::vector<double>& radii = common.table.radii;
  std::size_t at = 0;
  while (at + 1 < radii.size() && radii[at + 1] >= row.radius.radius) {
    ++at;
  }
  double power = 1.0;  // box^2q
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t q = 0; q < common.table.errors[at].size(); ++q) {
    const double constant = common.table.errors[at][q];
    const double moment =
        q == 0 ? 1.0 : std::min(std::max(row.moments[2 * q], 0.0) + common.rounding.gamma * power, power);
    const double error = constant * moment;
    const double varied = 1.1 * constant * power * (common.deviation + row.away);
    double numerator = error * away;
    if (common.spread && 2 * q == static_cast<std::size_t>(engines::kSpreadDegree)) {
      numerator = std::min(numerator, 1.15 * constant * row.spread);
    }
    const double score = common.varied ? std::min(numerator, varied) : numerator;
    if (score < least) {
      least = score;
      best = {std::min(numerator, varied), error};
    }
    power *= row.radius.box * row.radius.box;
  }
  return best;
}

}  // namespace

Prediction predict(const Sample& sample, const Frame& frame, const engines::ValueRange& values, std::int64_t rank,
                   const ErrorTable& table, bool spread, Arithmetic arithmetic, DType output, std::int64_t keys,
                   double tolerance) {
  if (sample.rows.empty()) {  // no sampled key had any weight: nothing is known, so nothing is promised
    return {std::numeric_limits<double>::infinity(), 1.0};
  }
  Common common{table,
                arithmetic == Arithmetic::float32 ? engines::rounding_model<float>(table.degree, rank, keys)
                                                  : engines::rounding_model<double>(table.degree, rank, keys),
                values.range(),
                0.0,
                spread,
                !spread && static_cast<std::int64_t>(values.low.size()) >= engines::kChordColumns};
  if (frame.outlying != nullptr) {
    common.outlying = arithmetic == Arithmetic::float32 ? engines::outlying_bounds<float>(*frame.outlying, values)
                                                        : engines::outlying_bounds<double>(*frame.outlying, values);
  }
  for (const double deviation : sample.deviation) {
    common.deviation = std::max(common.deviation, deviation);  // E|v - mu| <= its deviation
  }
  const double gamma = common.rounding.gamma;
  Prediction all;
  Prediction good;
  double failing = 0.0;
  bool some = false;
  for (const SampledRow& row : sample.rows) {
    const bool served = row.radius.radius <= table.radii.front();
    const RowError error = row_error(common, row, distance(values, row.answer));
    // The sum of the absolute values of the polynomial's terms is next to exp(box).
    const double absolute = gamma * std::exp(std::min(row.radius.box, 600.0));
    const double low =
        std::max(row.mass - absolute - error.denominator, std::exp(row.moments[1] - gamma * row.radius.box)) +
        row.outlying;
    const double moved =
        common.rounding.score * engines::widest_score(frame.outlying.get(), row.radius.box, row.radius.norm) +
        common.rounding.weight + frame.weight_error;
    const double lost =
        static_cast<double>(keys) / sample.weight * common.rounding.lost * std::exp(std::min(row.radius.radius, 700.0));
    const double far = frame.far.at(row.radius.norm) / sample.weight;
    double bound = (error.numerator + absolute * (common.deviation + 0.2 * common.range) +
                    exact_part(common, row, values.range())) /
                       low +
                   common.range * (numerics::perturbation(moved) + (lost + far) / low) +
                   (output == DType::float32 ? numerics::kU32 : 0.0) * values.max_abs;
    const bool fails = !served || !(bound <= tolerance);
    failing += fails ? row.share : 0.0;
    some = some || !fails;
    all.bound = std::max(all.bound, served ? bound : std::numeric_limits<double>::infinity());
    if (!fails) {
      good.bound = std::max(good.bound, bound);
    }
  }
  return {some ? good.bound : all.bound, some ? std::min(1.0, failing) : 1.0};
}

double a_priori_bound(const Frame& frame, const engines::ValueRange& values, const numerics::ExpPolynomial& polynomial,
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
  double absolute = 0.0;
  double power = 1.0;
  for (const double c : polynomial.coefficients) {
    absolute += std::fabs(c) * power;
    power *= polynomial.radius;
  }
  const double lost = count * rounding.lost * std::exp(polynomial.radius);
  const double x = (polynomial.error + polynomial.absolute_slack + 2.0 * rounding.gamma * absolute + lost) *
                   std::exp(shift) * (1.0 + 1e-9);
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
