#include "engines/polynomial/streaming/answer.hpp"

#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace polyattn::engines {

using base::usize;

namespace {

/// sum over features [first, last) of weights * (sums + errors), in kStreamingChains chains joined by a tree.
double read_features(const double* weights, const double* sums, const double* errors, std::ptrdiff_t first,
                     std::ptrdiff_t last) noexcept {
  double chains[simd::kStreamingChains] = {};
  std::ptrdiff_t f = first;
  for (; f + simd::kStreamingChains <= last; f += simd::kStreamingChains) {
    for (std::ptrdiff_t i = 0; i < simd::kStreamingChains; ++i) {
      chains[i] += weights[f + i] * (sums[f + i] + errors[f + i]);
    }
  }
  for (std::ptrdiff_t i = 0; f < last; ++f, ++i) {
    chains[i] += weights[f] * (sums[f] + errors[f]);
  }
  for (std::ptrdiff_t half = simd::kStreamingChains / 2; half > 0; half /= 2) {
    for (std::ptrdiff_t i = 0; i < half; ++i) {
      chains[i] += chains[i + half];
    }
  }
  return chains[0];
}

/// Bounds of one column: `answer` is T* less the centre. The statements are those of the theory, section 4.
struct ColumnBound {
  const KeySideBounds& keys;
  const RowCertificate& row;
  std::size_t column;
  double answer;

  /// At least sum w |e| |v - T*|.
  [[nodiscard]] double approximation() const noexcept {
    const double spread = std::max(keys.high[column] - answer, answer - keys.low[column]);
    const double away = answer - keys.mean[column];
    const double deviation = keys.deviation[column] + away * away * keys.half_inverse[column];
    return std::min(row.error * spread, row.uniform * deviation);
  }
  /// The same by chords, from the column's own even moment and that of the weights.
  [[nodiscard]] double by_chord(double moment, double weight) const noexcept {
    const double low = keys.low[column];
    const double high = keys.high[column];
    if (!(answer >= low && answer <= high && high > low)) {
      return std::numeric_limits<double>::infinity();
    }
    const double size = std::max(std::fabs(low), std::fabs(high));
    const double off = row.moment_scale * keys.absolute[column] + (size + 1.0) * row.moment_loss;
    const double above = std::max(0.0, high * weight + off - moment);
    const double below = std::max(0.0, moment + off - low * weight);
    const double chord = ((answer - low) * above + (high - answer) * below) / (high - low);
    const double spread = std::max(high - answer, answer - low);
    return row.polynomial->moment_error * chord + row.polynomial->slack * keys.weight_high * spread;
  }
  /// `tiny` is that of the weights; the column's own sums lose in proportion to their size.
  [[nodiscard]] double rounding() const noexcept {
    return row.rounding_scale * keys.absolute[column] + row.tiny * std::max(1.0, keys.absolute[column]) +
           std::fabs(answer) * row.rounding_denominator;
  }
};

/// q - centre, features and their multinomial weights, the moments of the scores; and what they prove.
RowCertificate certify_query(const StreamModel& model, const StreamHead& head, const StreamBounds& bounds,
                             StreamScratch& scratch) noexcept {
  const Frame& frame = model.frame;
  const std::ptrdiff_t* offsets = model.features.offsets.data();
  for (std::size_t l = 0; l < scratch.x.size(); ++l) {
    scratch.key[l] -= frame.query_centre[l];
    scratch.x[l] = scratch.key[l] / frame.query_scale[l];
  }
  expand_features(model, scratch.x.data(), scratch.features.data());
  double* weights = scratch.features.data();
  const std::size_t last = head.columns.size() * usize(model.padded);
  for (int t = 0; t <= model.features.degree; ++t) {
    for (std::ptrdiff_t f = offsets[t]; f < offsets[t + 1]; ++f) {
      weights[f] *= model.weights[usize(f)];
    }
    scratch.moments[usize(t)] =
        read_features(weights, head.sums.data() + last, head.errors.data() + last, offsets[t], offsets[t + 1]);
  }
  return certify_row(frame, bounds.keys, bounds.rounding, model.table, model.rank(), bounds.additions,
                     row_radius(frame, scratch.key.data()), 0.0, scratch.moments.data(), 1);
}

/// Numerators of all columns into scratch.value; before that, into scratch.token, the even moments of the columns that
/// chords need, if they are few.
void read_columns(const StreamModel& model, const StreamHead& head, const TableEntry& polynomial, bool chords,
                  const simd::StreamingKernels& kernels, StreamScratch& scratch) noexcept {
  const std::ptrdiff_t* offsets = model.features.offsets.data();
  double* weights = scratch.features.data();
  const int even = 2 * polynomial.q;
  for (std::size_t c = 0; chords && c < head.columns.size(); ++c) {
    const std::size_t column = c * usize(model.padded);
    scratch.token[c] = read_features(weights, head.sums.data() + column, head.errors.data() + column, offsets[even],
                                     offsets[even + 1]);
  }
  for (int t = 0; t <= model.features.degree; ++t) {
    const double coefficient = polynomial.coefficients[usize(t)];
    for (std::ptrdiff_t f = offsets[t]; f < offsets[t + 1]; ++f) {
      weights[f] *= coefficient;
    }
  }
  kernels.read(
      {weights, model.padded, head.sums.data(), head.errors.data(), model.declared.value_dim, scratch.value.data()});
}

void answer_nothing(const StreamModel& model, std::int64_t row, const HeadOutputs& out) noexcept {
  const auto put = [row](double* array, double value) {
    if (array != nullptr) {
      array[row] = value;
    }
  };
  const double zero = 0.0;
  for (std::int64_t c = 0; c < model.declared.value_dim; ++c) {
    base::RowSink column = out.output;
    column.data = static_cast<std::byte*>(column.data) +
                  c * column.column_stride * static_cast<std::int64_t>(size_of(column.dtype));
    base::store_row(column, row, &zero, 1);
  }
  put(out.lse, -std::numeric_limits<double>::infinity());
  put(out.lse_bound, 0.0);
  put(out.approximation, 0.0);
  put(out.rounding, 0.0);
  put(out.storage, 0.0);
}

}  // namespace

StreamBounds bound_stream(const StreamModel& model, const StreamHead& head) {
  StreamBounds out;
  const std::size_t value_dim = head.columns.size();
  const auto first = [&](std::size_t c) {
    const std::size_t i = c * usize(model.padded);
    return head.sums[i] + head.errors[i];
  };
  MomentTotals totals;
  totals.keys = 2 * head.additions + 2;  // every addition may lose to underflow twice, and once by a change of scale
  totals.totals = base::Buffer<double>(model.columns());
  for (std::size_t c = 0; c < value_dim; ++c) {
    const StreamColumn& column = head.columns[c];
    totals.totals[c] = first(c);
    totals.absolute.push_back(column.absolute.value());
    totals.square.push_back(column.square.value());
    out.values.low.push_back(column.low);
    out.values.high.push_back(column.high);
    out.values.centre.push_back(column.centre);
    out.values.max_abs = std::max({out.values.max_abs, std::fabs(column.low), std::fabs(column.high)});
  }
  totals.totals[value_dim] = first(value_dim);
  out.additions = static_cast<double>(totals.keys);
  out.rounding = stream_rounding(model.frame, model.features.degree, model.rank(), static_cast<double>(head.additions),
                                 head.terms, 1.01 * first(value_dim));
  out.keys = bound_key_side(model.frame, out.values, totals, out.rounding);
  out.keys.largest_absolute = 0.0;  // certify_row counts what the weights lose by underflow, columns are added here
  out.scale = {out.values.range(), out.values.max_abs};
  return out;
}

bool answer_query(const StreamModel& model, const StreamHead& head, const StreamBounds& bounds, std::int64_t row,
                  const simd::StreamingKernels& kernels, StreamScratch& scratch, const HeadOutputs& out) noexcept {
  if (head.visible == 0) {
    answer_nothing(model, row, out);
    return true;
  }
  RowCertificate certificate = certify_query(model, head, bounds, scratch);
  if (certificate.polynomial == nullptr || !(certificate.denominator_low > 0.0)) {
    return false;
  }
  const bool chords = model.columns() <= kChordColumns;
  read_columns(model, head, *certificate.polynomial, chords, kernels, scratch);
  RowAnswer answer;
  for (std::size_t c = 0; c < head.columns.size(); ++c) {
    const double centred = scratch.value[c] / certificate.denominator;
    const ColumnBound bound{bounds.keys, certificate, c, centred};
    double approximation = bound.approximation();
    if (chords) {
      const double weight = scratch.moments[2 * usize(certificate.polynomial->q)];
      approximation = std::min(approximation, bound.by_chord(scratch.token[c], weight));
    }
    const double rounded = bound.rounding();
    if (!std::isfinite(centred) || !std::isfinite(approximation) || !std::isfinite(rounded)) {
      return false;
    }
    answer.approximation = std::max(answer.approximation, approximation);
    answer.rounding = std::max(answer.rounding, rounded);
    const StreamColumn& column = head.columns[c];
    scratch.value[c] = std::clamp(centred + column.centre, column.low, column.high);
  }
  // D is at least its lower bound: for log-sum-exp what lies below is moved there, which brings it nearer.
  certificate.denominator = std::max(certificate.denominator, certificate.denominator_low);
  answer.row = row;
  answer.approximation /= certificate.denominator_low;
  answer.rounding /= certificate.denominator_low;
  answer.certificate = &certificate;
  answer.centred_query = scratch.key.data();
  answer.log_scale = head.exponent * std::numbers::ln2;
  for (std::size_t c = 0; c < head.columns.size(); ++c) {
    answer.largest = std::max(answer.largest, std::fabs(scratch.value[c]));
  }
  if (!accept_row(model.shape, model.frame, bounds.scale, Acceptance{}, answer, out)) {
    return false;
  }
  base::store_row(out.output, row, scratch.value.data(), static_cast<std::int64_t>(head.columns.size()));
  return true;
}

}  // namespace polyattn::engines
