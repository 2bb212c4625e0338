#include "planning/predict.hpp"

#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial/outlying_part.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::planning {

namespace {

using base::usize;
using engines::Frame;

/// Predicted bounds of log-sum-exp must be so far below what is allowed.
constexpr double kDenominatorMargin = 0.95;

/// How far values are from an answer in the mean at most, where their mean is `mean`: the chord of |v - answer| there.
double chord(double low, double high, double answer, double mean) noexcept {
  const double above = std::max(high - answer, 0.0);
  const double below = std::max(answer - low, 0.0);
  return (below * (high - mean) + above * (mean - low)) / (above + below);
}

/// What errors are multiplied with.
struct Distance {
  double careful = 0.0;
  double likely = 0.0;  ///< of q = 1
};

/// How far values are from an answer, at most, or in the mean where chords say so. Carefully: a tenth more, and a fifth
/// on top of means, as values may go with large scores. For q = 1 the sample says whether they do.
Distance distance(const engines::ValueRange& values, const SampledRow& row) noexcept {
  Distance largest;
  for (std::size_t c = 0; c < row.answer.size(); ++c) {
    const double answer = row.answer[c];
    const double above = std::max(values.high[c] - answer, 0.0);
    const double below = std::max(answer - values.low[c], 0.0);
    double careful = 1.1 * std::max(above, below);
    double likely = careful;
    if (!row.pulled.empty() && above + below > 0.0) {
      careful = std::min(careful, 1.2 * 1.1 * chord(values.low[c], values.high[c], answer, answer));
      likely = chord(values.low[c], values.high[c], answer, row.pulled[c]);
    }
    largest = {std::max(largest.careful, careful), std::max(largest.likely, likely)};
  }
  return {std::min(largest.careful, values.range()), std::min(largest.likely, values.range())};
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
  const Frame& frame;
  engines::RoundingModel rounding;
  double range = 0.0;
  double keys = 0.0;
  double weight = 0.0;
  double stored = 0.0;     ///< what the type of the output costs
  double deviation = 0.0;  ///< largest of a column
  bool spread = false;
  bool varied = false;  ///< polynomials are chosen by the variance too
  engines::OutlyingBounds outlying{};
};

/// What rounding in the exact part of a row may add to D |T* - T|, and to D.
struct ExactPart {
  double answer = 0.0;
  double denominator = 0.0;
};

ExactPart exact_part(const Common& common, const SampledRow& row) noexcept {
  if (row.outlying == 0.0) {
    return {};
  }
  const engines::DiagonalBound* bound = common.outlying.at(row.radius.norm);
  if (bound == nullptr) {
    return {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  }
  return {row.outlying * (bound->denominator_error * common.range + bound->answer_error),
          row.outlying * bound->denominator_error};
}

/// sum w |e| |v - T*| of the polynomial a row takes, per unit of weight, and sum w |e|.
struct RowError {
  double numerator = std::numeric_limits<double>::infinity();
  double denominator = std::numeric_limits<double>::infinity();
};

RowError row_error(const Common& common, const SampledRow& row, const Distance& away) noexcept {
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
    double numerator = error * (q == 1 ? away.likely : away.careful);
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

/// Of its answer and of its log-sum-exp.
struct RowBound {
  double answer = 0.0;
  double lse = 0.0;
};

RowBound row_bound(const Common& common, const SampledRow& row, const Distance& away) noexcept {
  const double gamma = common.rounding.gamma;
  const RowError error = row_error(common, row, away);
  // The sum of the absolute values of the polynomial's terms is next to exp(box).
  const double absolute = gamma * std::exp(std::min(row.radius.box, 600.0));
  const double low =
      std::max(row.mass - absolute - error.denominator, std::exp(row.moments[1] - gamma * row.radius.box)) +
      row.outlying;
  const double moved =
      common.rounding.score * engines::widest_score(common.frame.outlying.get(), row.radius.box, row.radius.norm) +
      common.rounding.weight + common.frame.weight_error;
  const double lost = common.keys / common.weight * common.rounding.lost * std::exp(std::min(row.radius.radius, 700.0));
  const double far = common.frame.far.at(row.radius.norm) / common.weight;
  const ExactPart exact = exact_part(common, row);
  const double answer = (error.numerator + absolute * (common.deviation + 0.2 * common.range) + exact.answer) / low +
                        common.range * (numerics::perturbation(moved) + (lost + far) / low) + common.stored;
  return {answer, (error.denominator + absolute + exact.denominator + lost + far) / low + moved};
}

}  // namespace

Prediction predict(const Sample& sample, const Frame& frame, const engines::ValueRange& values, std::int64_t rank,
                   const ErrorTable& table, bool spread, Arithmetic arithmetic, DType output, std::int64_t keys,
                   double tolerance) {
  if (sample.rows.empty()) {  // no sampled key had any weight: nothing is known, so nothing is promised
    return {std::numeric_limits<double>::infinity(), 1.0};
  }
  Common common{table,
                frame,
                arithmetic == Arithmetic::float32 ? engines::rounding_model<float>(table.degree, rank, keys)
                                                  : engines::rounding_model<double>(table.degree, rank, keys),
                values.range(),
                static_cast<double>(keys),
                sample.weight,
                (output == DType::float32 ? numerics::kU32 : 0.0) * values.max_abs,
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
  Prediction all;
  Prediction good;
  double failing = 0.0;
  bool some = false;
  for (const SampledRow& row : sample.rows) {
    const bool served = row.radius.radius <= table.radii.front();
    const Distance away = distance(values, row);
    const RowBound careful = row_bound(common, row, {away.careful, away.careful});
    double bound = careful.answer;
    const bool knows_denominator = !(careful.lse > kDenominatorMargin * row.lse_allowed);
    double fails = served && knows_denominator && bound <= tolerance ? 0.0 : 1.0;
    all.bound = std::max(all.bound, served ? bound : std::numeric_limits<double>::infinity());
    // near the tolerance it may go either way
    if (served && knows_denominator && fails > 0.0 && away.likely < away.careful) {
      bound = row_bound(common, row, away).answer;
      fails = bound <= tolerance ? 0.5 : 1.0;
    }
    failing += fails * row.share;
    some = some || fails < 1.0;
    if (fails < 1.0) {
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
