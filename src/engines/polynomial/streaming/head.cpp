#include "engines/polynomial/streaming/head.hpp"

#include "simd/dispatch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace polyattn::engines {

using base::usize;

namespace {

constexpr double kLargestShift = 1000.0;  // 2^-kLargestShift and its square root are normal numbers
constexpr double kForgotten = 1800.0;     // sums are below 2^600: nothing of them is left after this shift

void rescale(StreamHead& head, double factor) noexcept {
  for (double& sum : head.sums) {
    sum *= factor;
  }
  for (double& error : head.errors) {
    error *= factor;
  }
  for (StreamColumn& column : head.columns) {
    column.absolute.scale(factor);
    column.square.scale(factor);
  }
}

/// Makes `exponent` the head's, if it is larger: returns the power of two that remains to be multiplied with.
double raise_exponent(StreamHead& head, double exponent) noexcept {
  const double shift = head.visible == 0 ? 0.0 : exponent - head.exponent;
  if (head.visible != 0 && !(shift > 0.0)) {
    return 1.0;
  }
  head.exponent = exponent;
  if (shift <= kLargestShift) {
    return std::exp2(-shift);
  }
  rescale(head, std::exp2(-0.5 * kForgotten));  // in two steps: 2^-shift may be no number
  return std::exp2(-(std::min(shift, kForgotten) - 0.5 * kForgotten));
}

}  // namespace

void StreamSum::scale(double power_of_two) noexcept {
  sum *= power_of_two;
  error *= power_of_two;
}

void StreamSum::add(double term) noexcept {
  const double before = sum;
  sum = before + term;
  const double part = sum - before;
  error += (before - (sum - part)) + (term - part);
}

StreamHead::StreamHead(const StreamModel& model, base::MemoryMeter* memory)
    : columns(usize(model.declared.value_dim)),
      sums(base::checked_mul(model.columns(), model.padded, "moments"), 0.0, memory),
      errors(base::checked_mul(model.columns(), model.padded, "moments"), 0.0, memory) {
  for (std::size_t c = 0; c < model.declared.value_low.size(); ++c) {
    columns[c].centre = 0.5 * model.declared.value_low[c] + 0.5 * model.declared.value_high[c];
  }
}

StreamScratch::StreamScratch(const StreamModel& model, base::MemoryMeter* memory)
    : key(usize(model.dim())),
      value(usize(model.declared.value_dim)),
      x(usize(model.dim())),
      token(usize(model.columns())),
      moments(usize(model.features.degree + 1)),
      features(model.padded, 0.0, memory) {}

StreamWeight stream_weight(const StreamModel& model, const double* key, double bias) noexcept {
  const Frame& frame = model.frame;
  const bool gaussian = model.declared.score.kind == ScoreKind::gaussian;
  StreamWeight out{bias, std::fabs(bias)};
  for (std::size_t l = 0; l < frame.metric.size(); ++l) {
    const double away = gaussian ? key[l] - frame.query_centre[l] : key[l];
    const double term = frame.metric[l] * (gaussian ? -0.5 * away * away : frame.query_centre[l] * away);
    out.log += term;
    out.terms += std::fabs(term);
  }
  return out;
}

const simd::StreamingKernels& stream_kernels() { return simd::kernels().streaming; }

void append_token(const StreamModel& model, double bias, const simd::StreamingKernels& kernels, StreamScratch& scratch,
                  StreamHead& head) noexcept {
  ++head.tokens;
  if (bias == -std::numeric_limits<double>::infinity()) {
    return;
  }
  const Frame& frame = model.frame;
  const std::size_t value_dim = head.columns.size();
  for (std::size_t l = 0; l < scratch.x.size(); ++l) {
    scratch.x[l] = (scratch.key[l] - frame.key_centre[l]) / frame.key_scale[l];  // a power of two
  }
  expand_features(model, scratch.x.data(), scratch.features.data());
  const StreamWeight weight = stream_weight(model, scratch.key.data(), bias);
  const double scale = raise_exponent(head, std::ceil(weight.log * std::numbers::log2e));
  const double w = std::exp(weight.log - head.exponent * std::numbers::ln2);
  head.terms = std::max(head.terms, weight.terms);
  for (std::size_t c = 0; c < value_dim; ++c) {
    StreamColumn& column = head.columns[c];
    const double value = scratch.value[c];
    if (head.visible == 0) {
      column.centre = model.declared.value_low.empty() ? value : column.centre;
      column.low = value;
      column.high = value;
    }
    column.low = std::min(column.low, value);
    column.high = std::max(column.high, value);
    const double centred = value - column.centre;
    scratch.token[c] = w * centred;
    column.absolute.scale(scale);
    column.absolute.add(std::fabs(scratch.token[c]));
    column.square.scale(scale);
    column.square.add(w * (centred * centred));
  }
  scratch.token[value_dim] = w;
  kernels.update({scratch.features.data(), model.padded, scratch.token.data(), model.columns(), scale, head.sums.data(),
                  head.errors.data()});
  ++head.visible;
  ++head.additions;
}

void merge_head(const StreamModel& model, const StreamHead& other, StreamHead& head) noexcept {
  head.tokens += other.tokens;
  if (other.visible == 0) {
    return;
  }
  const bool empty = head.visible == 0;
  const double scale = raise_exponent(head, other.exponent);
  if (scale != 1.0) {
    rescale(head, scale);
  }
  const double shift = std::min(head.exponent - other.exponent, kForgotten);
  const double first = std::exp2(-std::min(shift, 0.5 * kForgotten));
  const double second = std::exp2(-(shift - std::min(shift, 0.5 * kForgotten)));
  const auto join = [&](StreamSum into, double sum, double error) {
    into.error += error * first * second;
    into.add(sum * first * second);
    return into;
  };
  for (std::int64_t i = 0; i < model.columns() * model.padded; ++i) {
    const StreamSum joined =
        join({head.sums[usize(i)], head.errors[usize(i)]}, other.sums[usize(i)], other.errors[usize(i)]);
    head.sums[usize(i)] = joined.sum;
    head.errors[usize(i)] = joined.error;
  }
  for (std::size_t c = 0; c < head.columns.size(); ++c) {
    StreamColumn& column = head.columns[c];
    const StreamColumn& from = other.columns[c];
    column.centre = from.centre;
    column.low = empty ? from.low : std::min(column.low, from.low);
    column.high = empty ? from.high : std::max(column.high, from.high);
    column.absolute = join(column.absolute, from.absolute.sum, from.absolute.error);
    column.square = join(column.square, from.square.sum, from.square.error);
  }
  head.terms = std::max(head.terms, other.terms);
  head.visible += other.visible;
  head.additions += other.additions + 2;
}

}  // namespace polyattn::engines
