#include "engines/tuples/exact_certificate.hpp"

#include "base/checked.hpp"
#include "engines/exact/arithmetic.hpp"
#include "engines/tuple_problem.hpp"
#include "numerics/interval.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>

// All of it in log2 units; u is the unit roundoff of T, U of float64.

namespace polyattn::engines {
namespace {

using base::usize;
using numerics::product_above;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLog2E = simd::kLog2E;
constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr double kU = numerics::kU64;
constexpr double kTiny64 = 0x1p-1074;
/// Covers the roundings made in computing a bound (at most 2^20 in a row, none of them a subtraction that matters).
constexpr double kSlack = 1 + 0x1p-30;
/// Above every product of slacks that a row's own measures carry.
constexpr double kMore = 1 + 0x1p-27;

double largest_magnitude(double low, double high) { return std::max(std::fabs(low), std::fabs(high)); }

/// A whole number no smaller than log2 n, at most 1 larger; n >= 1.
double log2_above_real(double n) { return std::floor(std::log2(n)) + 1; }

}  // namespace

template <class T>
TupleCertifier<T>::TupleCertifier(const TupleProblem& problem, const SetOrder& order, const std::vector<SetFacts>& sets,
                                  DType output)
    : dim_(static_cast<double>(problem.dim())),
      outer_(static_cast<double>(order.outer.size())),
      output_(output),
      factor_(std::fabs(problem.scale) * kLog2E * kSlack),
      factor_normal_(problem.scale == 0.0 || std::fabs(problem.scale) >= 0x1p-1000),
      corner_(usize(problem.dim()), 1.0) {
  using A = ExactArithmetic<T>;
  const KeyStatistics& inner = sets[order.inner].statistics;
  const bool keys_exact = A::wide || inner.keys_exact;
  const double grown = keys_exact ? 1.0 : 1 + A::unit * (1 + 0x1p-20);
  const double added = keys_exact ? 0.0 : A::tiny;
  values_exact_ = A::wide || inner.values_exact;
  // Section 3: as for order 2, and in float64 one rounding for the key of each outer set.
  chain_ = chain_length(problem.dim()) + (keys_exact ? 0 : 1) + A::conversions + (A::wide ? outer_ : 0.0);
  for (std::size_t s = 0; s < sets.size(); ++s) {
    s == order.inner ? take_set(sets[s], false, grown, added) : take_set(sets[s], true, 1.0, 0.0);
  }
  inner_norm_ = inner.max_norm * grown + added * dim_;
  spread_ = (inner.bias_spread * kLog2E + 1) * kSlack;
  inner_range_ = (inner.bias_max - inner.bias_min) * kLog2E * kSlack;
  top_bias_ = std::fabs(inner.bias_max) * kLog2E * kSlack;
  shift_ = std::ceil(inner.bias_max * kLog2E);
  inner_smallest_ = inner.smallest_value;
  inner_keys_ = inner.keys;
  intervals_ = !problem.sets[order.inner].mask.from_first();
  value_scale_ = inner.largest_value() * (1 + 0x1p-20) > kLargestValue<T> ? 0x1p32 : 1.0;
  take_columns(sets);
}

/// What products and sums over the sets need of one; its keys may be larger by the factor `grown` and by `added`.
template <class T>
void TupleCertifier<T>::take_set(const SetFacts& facts, bool outer, double grown, double added) {
  const KeyStatistics& set = facts.statistics;
  double largest = 0.0;
  for (std::size_t l = 0; l < corner_.size() && set.visible > 0; ++l) {
    const double key = largest_magnitude(set.key_min[l], set.key_max[l]) * grown + added;
    corner_[l] = product_above(corner_[l], key);
    largest = std::max(largest, key);
  }
  holder_ = product_above(holder_, facts.holder * grown + added * dim_);
  const double bias = largest_magnitude(set.bias_min, set.bias_max) * kLog2E * kSlack;
  const double value = set.largest_value();
  bias_range_ += (set.bias_max - set.bias_min) * kLog2E * kSlack;
  finite_ = finite_ && set.finite;
  all_tuples_ *= static_cast<double>(set.keys);
  all_values_ *= std::max(1.0, value);
  all_smallest_ *= std::min(1.0, set.smallest_value);
  if (outer) {
    outer_norm_ = product_above(outer_norm_, largest);
    outer_keys_ *= std::max(1.0, largest);
    outer_bias_ += bias;
    outer_values_ = product_above(outer_values_, value);
    all_rows_ *= static_cast<double>(set.keys);
  } else {
    inner_key_ = largest;
    max_bias_ = bias;
  }
}

/// Section 5: ranges of the products of values, and their magnitudes.
template <class T>
void TupleCertifier<T>::take_columns(const std::vector<SetFacts>& sets) {
  using A = ExactArithmetic<T>;
  std::vector<Column> all;
  for (std::size_t c = 0; c < sets.front().statistics.value_min.size(); ++c) {
    double low = 1.0;
    double high = 1.0;
    for (const SetFacts& set : sets) {
      const double from = set.statistics.value_min[c];
      const double to = set.statistics.value_max[c];
      const double wider = values_exact_ ? 0.0 : A::unit * (1 + 0x1p-20) * largest_magnitude(from, to) + A::tiny;
      const numerics::Interval product = numerics::interval_product({low, high}, {from - wider, to + wider});
      low = product.low;
      high = product.high;
    }
    const double magnitude = largest_magnitude(low, high) * kSlack;
    const double range = (high - low) + 8 * (outer_ + 1) * kU * magnitude;
    const bool known = std::isfinite(range) && std::isfinite(magnitude);
    all.push_back(known ? Column{range, magnitude} : Column{kInfinity, kInfinity});
  }
  std::sort(all.begin(), all.end(), [](const Column& a, const Column& b) {
    return a.range != b.range ? a.range > b.range : a.magnitude > b.magnitude;
  });
  for (const Column& column : all) {  // bounds grow with range and magnitude
    if (columns_.empty() || !(column.magnitude <= columns_.back().magnitude)) {
      columns_.push_back(column);
    }
  }
}

template <class T>
double TupleCertifier<T>::size_of(const double* query) const noexcept {
  double corner = 0.0;
  double square = 0.0;
  for (std::size_t l = 0; l < corner_.size(); ++l) {
    corner += std::fabs(query[l]) * corner_[l];
    square += query[l] * query[l];
  }
  const double norm = std::sqrt(square + 0x1p-1000 * dim_);
  return factor_ * std::min(corner, norm * holder_) * kSlack;
}

/// At most how far apart two visible scores are.
template <class T>
double TupleCertifier<T>::span_of(const TupleMeasures& row) const noexcept {
  return 2 * row.size + bias_range_ + 2;
}

/// Sections 3 and 4: computed weights against true ones.
template <class T>
typename TupleCertifier<T>::Weights TupleCertifier<T>::weights(const TupleMeasures& row) const noexcept {
  using A = ExactArithmetic<T>;
  const double near = A::near_bits + log2_above_real(row.tuples) + 1;
  const double below = std::max(-row.low, 0.0) * (1 + 0x1p-20);
  const double bias = std::min(spread_, near + below + 3 + row.size);
  const double inner_bias = std::min(max_bias_, std::max(top_bias_, std::fabs(shift_) + below + near + row.size + 2));
  const double outer_bias = std::min(outer_bias_, row.outer_top + outer_ * (near + 2 * row.size));
  const double underflow =
      dim_ * A::tiny * (1 + inner_key_ + row.row_norm) + dim_ * (outer_ + 1) * kTiny64 * outer_keys_ * (1 + inner_key_);
  const double rounded = numerics::gamma(chain_, A::unit) * row.size + A::unit * (row.size + 2 * bias) * (1 + 0x1p-18);
  Weights out{};
  out.biases = outer_bias;
  out.score = (rounded + underflow + 3 * kU * (inner_bias + outer_bias)) * kSlack;
  const double whole = std::max(std::fabs(row.low), std::fabs(row.high)) + near + row.size + 3;
  const bool exact_whole = whole <= A::whole && outer_bias + row.magnitude + near <= 0x1p51;
  if (!exact_whole || !factor_normal_ || !(out.score <= 0.25)) {
    out.score = kInfinity;
    return out;
  }
  const double span = span_of(row);
  out.far = span <= near ? 0.0 : 4 * std::exp2(-A::near_bits);
  const double subtraction = A::unit * std::min(near + 2, span);
  out.zeta =
      (kLn2 * (out.score + subtraction * (1 + 0x1p-18)) + A::exp2_error * (1 + 0x1p-18) + 4 * outer_ * kU) * kSlack;
  return out;
}

/// Section 5: sums of weights, and of weights times values, relative to the sums of absolute values.
template <class T>
double TupleCertifier<T>::sums(const TupleMeasures& row) const noexcept {
  const TileSums sums = tile_sums(row.keys, row.from_start);
  const auto piece = static_cast<double>(kJoinedRows);
  const double joined = std::min(row.rows, piece) + std::ceil(row.rows / piece) + 2 * outer_ + 1;
  return numerics::gamma(sums.in_t, ExactArithmetic<T>::unit) + 1.01 * numerics::gamma(sums.flushes + joined, kU);
}

template <class T>
bool TupleCertifier<T>::may_overflow(const TupleMeasures& row) const noexcept {
  return !finite_ || !(row.size + row.row_norm <= ExactArithmetic<T>::overflow);
}

template <class T>
ExactBound TupleCertifier<T>::certify(const TupleMeasures& row, bool with_relative) const noexcept {
  using A = ExactArithmetic<T>;
  ExactBound bound;
  if (may_overflow(row)) {
    return {kInfinity, kInfinity, kInfinity};
  }
  const Weights weight = weights(row);
  const bool known = std::isfinite(weight.score);
  const double gamma = sums(row);
  const double ratio = 2 * gamma / (1 - gamma) + 4 * kU;
  const double mixing = known ? std::min(1.0, numerics::perturbation(weight.zeta) + weight.far) : 1.0;
  const double keys = static_cast<double>(row.keys);
  const double tiny = A::tiny * value_scale_;
  const double underflow =
      4 * (keys + 1) * tiny * outer_values_ + 4 * kTiny64 * (outer_ + 3) * row.tuples * all_values_;
  for (const Column& column : columns_) {
    const double converted = values_exact_ ? 0.0 : A::unit * column.magnitude * (1 + 0x1p-20) + A::tiny * outer_values_;
    const double size = column.range * mixing + ratio * column.magnitude + underflow + converted;
    bound.rounding = std::max(bound.rounding, std::isnan(size) ? kInfinity : size);
  }
  double stored = 0.0;
  if (output_ == DType::float32 && !columns_.empty()) {
    stored = numerics::kU32;
    const bool fits = row.largest_output <= static_cast<double>(std::numeric_limits<float>::max());
    bound.rounding += fits ? stored * row.largest_output + 0x1p-150 : kInfinity;
  }
  bound.rounding *= kSlack;
  if (!known) {
    bound.lse = kInfinity;
    return bound;
  }
  const double last = (4 + outer_) * kU * (row.magnitude + weight.biases + log2_above_real(row.tuples) + 4);
  bound.lse = (weight.zeta + 2 * weight.far + gamma / (1 - gamma) + 4 * (keys + 1) * A::tiny + last) * kSlack;
  // Section 6: nothing far, no product and no stored average in the subnormal range.
  const double span = span_of(row);
  const bool normal = std::exp2(-span) / keys * inner_smallest_ >= 0x1p40 * A::normal &&
                      std::exp2(-span) / row.tuples * all_smallest_ >= (stored > 0.0 ? 0x1p-126 : 0x1p-900);
  if (with_relative && values_exact_ && weight.far == 0.0 && normal) {
    const double growth = std::exp(2 * weight.zeta);
    bound.relative = (std::expm1(2 * weight.zeta) + growth * (ratio + stored) * (1 + 0x1p-18)) * kSlack;
  }
  return bound;
}

template <class T>
TupleMeasures TupleCertifier<T>::worst(double query_norm, const std::vector<double>& query_max) const {
  TupleMeasures row;
  double corner = 0.0;
  for (std::size_t l = 0; l < query_max.size(); ++l) {
    corner += query_max[l] * corner_[l];
  }
  row.size = factor_ * std::min(corner, query_norm * holder_) * kMore;
  row.row_norm = factor_ * query_norm * outer_norm_ * kMore;
  row.low = -(row.size + inner_range_ + 1) * kMore;
  row.high = -row.low;
  row.tuples = all_tuples_;
  row.rows = all_rows_;
  row.keys = inner_keys_;
  row.from_start = !intervals_;
  row.outer_top = outer_bias_;
  row.magnitude = (row.size + inner_range_ + max_bias_ + outer_bias_ + 5) * kMore;
  for (const Column& column : columns_) {
    row.largest_output = std::max(row.largest_output, column.magnitude * kMore);
  }
  return row;
}

template class TupleCertifier<float>;
template class TupleCertifier<double>;

}  // namespace polyattn::engines
