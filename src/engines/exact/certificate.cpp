#include "engines/exact/certificate.hpp"

#include "base/checked.hpp"
#include "base/rows.hpp"
#include "engines/exact/arithmetic.hpp"
#include "numerics/rounding.hpp"
#include "simd/exact_kernels.hpp"

#include <algorithm>
#include <cmath>

// All of it in log2 units; u is the unit roundoff of T, U of float64. Section numbers are those of
// docs/proofs/exact-engine.md.

namespace polyattn::engines {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLog2E = 0x1.71547652b82fep+0;
constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr double kU = numerics::kU64;
/// Covers the roundings made in computing a bound (at most 2^20 in a row, none of them a subtraction that matters).
constexpr double kSlack = 1 + 0x1p-30;

double largest_magnitude(double low, double high) { return std::max(std::fabs(low), std::fabs(high)); }

/// Statistics of the numbers as stored, made to hold for what rounding to T makes of them.
template <class T>
KeyStatistics as_rounded(KeyStatistics keys) {
  constexpr double kGrown = ExactArithmetic<T>::unit * (1 + 0x1p-20);
  const auto widen = [](std::vector<double>& low, std::vector<double>& high) {
    for (std::size_t i = 0; i < low.size(); ++i) {
      low[i] -= kGrown * std::fabs(low[i]) + ExactArithmetic<T>::tiny;
      high[i] += kGrown * std::fabs(high[i]) + ExactArithmetic<T>::tiny;
    }
  };
  if (!keys.keys_exact) {
    widen(keys.key_min, keys.key_max);
    keys.max_norm *= 1 + kGrown;
  }
  if (!keys.values_exact) {
    widen(keys.value_min, keys.value_max);
  }
  return keys;
}

}  // namespace

TileSums tile_sums(std::int64_t keys, bool from_start) noexcept {
  const auto count = static_cast<double>(keys);
  const double cut = from_start ? 0.0 : 1.0;
  const double blocks = std::ceil(count / static_cast<double>(simd::kKeyBlock)) + cut;
  const double in_block = std::min(count, static_cast<double>(simd::kKeyBlock));
  const double in_superblock = std::min(blocks, static_cast<double>(simd::kSuperblock)) - 1;
  return {in_block + in_superblock, std::ceil(blocks / static_cast<double>(simd::kSuperblock)) + cut + 1};
}

double storage_bound(DType output, double largest) noexcept {
  if (size_of(output) != 2) {
    return 0.0;
  }
  const bool half = output == DType::float16;
  if (!(largest <= (half ? 65504.0 : 0x1.fep127))) {
    return kInfinity;
  }
  return (base::unit_roundoff(output) * largest + (half ? 0x1p-25 : 0x1p-134)) * kSlack;
}

template <class T>
RowCertifier<T>::RowCertifier(const HeadScore& score, std::int64_t dim, const KeyStatistics& keys, double shift,
                              bool queries_exact, DType output, double soft_cap)
    : kind_(score.kind),
      dim_(static_cast<double>(dim)),
      output_(output),
      finite_(keys.finite),
      values_exact_(keys.values_exact),
      max_key_(0.0),
      isotropic_(1.0),
      factors_normal_(true),
      cap_(soft_cap > 0.0 ? soft_cap * kLog2E * kSlack : kInfinity),
      spread_((keys.bias_spread * kLog2E + 1) * kSlack),
      bias_range_((keys.bias_max - keys.bias_min) * kLog2E * kSlack),
      max_bias_(largest_magnitude(keys.bias_min, keys.bias_max) * kLog2E * kSlack),
      top_bias_(std::fabs(keys.bias_max) * kLog2E * kSlack),
      shift_(shift),
      smallest_value_(keys.smallest_value) {
  using A = ExactArithmetic<T>;
  // Section 3, (3.2) and (3.4).
  const double chain = chain_length(dim);
  chain_ = chain + (keys.keys_exact ? 0 : 1) + A::conversions + (queries_exact ? 0 : 1);
  if (kind_ == ScoreKind::dot) {
    factors_normal_ = score.scale == 0.0 || std::fabs(score.scale) >= 0x1p-1000;
  } else {
    chain_ = chain + 4 + A::gaussian_factor;
    for (const double h : score.bandwidth) {
      const double factor = std::sqrt(kLog2E / 2) / h;
      const double limit = A::wide ? 0x1p450 : 0x1p60;
      factors_normal_ = factors_normal_ && factor >= 1 / limit && factor <= limit;
      isotropic_ = std::max(isotropic_, factor * factor * kSlack);
    }
  }
  if (soft_cap > 0.0) {
    const double limit = A::wide ? 0x1p900 : 0x1p100;
    factors_normal_ = factors_normal_ && soft_cap >= 1 / limit && soft_cap <= limit;
  }
  for (std::size_t l = 0; l < keys.key_min.size(); ++l) {
    max_key_ = std::max(max_key_, largest_magnitude(keys.key_min[l], keys.key_max[l]));
  }
  std::vector<Column> all;
  for (std::size_t c = 0; c < keys.value_min.size(); ++c) {
    all.push_back({keys.value_max[c] - keys.value_min[c], largest_magnitude(keys.value_min[c], keys.value_max[c])});
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

/// At most how far apart two visible scores are.
template <class T>
double RowCertifier<T>::span_of(const RowMeasures& row) const noexcept {
  const double size = std::min(row.size, cap_);
  return (kind_ == ScoreKind::dot ? 2 * size : size) + bias_range_ + 2 * row.mask_size + 2;
}

/// Section 4: computed weights against true ones.
template <class T>
typename RowCertifier<T>::Weights RowCertifier<T>::weights(const RowMeasures& row) const noexcept {
  using A = ExactArithmetic<T>;
  const double near = A::near_bits + log2_above(row.keys) + 1;
  const double below = std::max(-row.row_max, 0.0) * (1 + 0x1p-20);  // largest bias over largest score, at least
  const bool capped = cap_ < kInfinity;
  const double largest = std::min(row.size, cap_);  // of any finished score without bias and mask
  // Sizes of the parts of a score, for keys that matter: what a mask adds, the score as computed first, the score as
  // capped, the bias.
  const double mask = std::min(row.mask_size, std::fabs(row.row_max) + near + largest + bias_range_ + 2);
  const bool bounded = kind_ == ScoreKind::gaussian && !capped;
  const double size = bounded ? std::min(row.size, near + below + mask + 2) : row.size;
  const double finished = std::min(size, cap_);
  const double lifted = mask + (kind_ == ScoreKind::dot ? finished : 0.0);
  const double bias = std::min(spread_, near + below + 3 + lifted);
  const double absolute_bias =
      std::min(max_bias_, std::max(top_bias_, std::fabs(shift_) + below + near + finished + mask + 2));
  const double span = span_of(row);

  double underflow = dim_ * A::tiny;
  if (kind_ == ScoreKind::dot) {
    underflow *= 1 + max_key_ + row.packed_query;
  } else {
    underflow *= isotropic_ * (1 + 2 * std::sqrt(size));
  }
  const double converted = 2 * std::sqrt(size * row.conversion) + row.conversion;
  double rounded = numerics::gamma(chain_, A::unit) * size + A::unit * (finished + 2 * bias) * (1 + 0x1p-18);
  if (capped) {
    rounded += A::soft_cap * finished;
    underflow += 4 * A::tiny * (1 + cap_);
  }
  if (mask > 0.0) {
    rounded += A::unit * (finished + bias + 4 * mask) * (1 + 0x1p-18);
  }
  Weights out{};
  if (std::isnan(row.mask_size)) {
    out.score = kInfinity;
    return out;
  }
  out.score = (rounded + converted + underflow + 3 * kU * absolute_bias) * kSlack;
  const bool exact_whole = std::fabs(row.row_max) + near + size + 3 <= A::whole;
  if (!exact_whole || !factors_normal_ || !(out.score <= 0.25)) {
    out.score = kInfinity;
    return out;
  }
  out.far = span <= near ? 0.0 : 4 * std::exp2(-A::near_bits);
  const double subtraction = A::unit * std::min(near + 2, span);
  out.zeta = (kLn2 * (out.score + subtraction * (1 + 0x1p-18)) + A::exp2_error * (1 + 0x1p-18)) * kSlack;
  return out;
}

/// Section 5: sums of weights, and of weights times values, relative to the sums of absolute values.
template <class T>
double RowCertifier<T>::sums(const RowMeasures& row) const noexcept {
  const TileSums sums = tile_sums(row.keys, row.from_start);
  return numerics::gamma(sums.in_t, ExactArithmetic<T>::unit) + 1.01 * numerics::gamma(sums.flushes, kU);
}

template <class T>
bool RowCertifier<T>::may_overflow(const RowMeasures& row) const noexcept {
  if (!finite_) {
    return true;
  }
  if (kind_ == ScoreKind::gaussian) {
    return !std::isfinite(row.row_max);
  }
  return !(row.size + row.packed_query <= ExactArithmetic<T>::overflow);
}

template <class T>
ExactBound RowCertifier<T>::certify(const RowMeasures& row, bool with_relative) const noexcept {
  using A = ExactArithmetic<T>;
  ExactBound bound;
  if (may_overflow(row)) {
    return {kInfinity, kInfinity, kInfinity};
  }
  const Weights weight = weights(row);
  const bool known = std::isfinite(weight.score);
  const double gamma = sums(row);
  const double ratio = 2 * gamma / (1 - gamma) + 4 * kU;
  // tanh(zeta / 2) <= zeta / 2 is as good where zeta is small, and quicker.
  const double tangent = weight.zeta < 0x1p-8 ? 0.5 * weight.zeta : numerics::perturbation(weight.zeta);
  const double mixing = known ? std::min(1.0, tangent + weight.far) : 1.0;
  const double underflow = 4 * static_cast<double>(row.keys + 1) * A::tiny;
  const double conversion = values_exact_ ? 0.0 : A::unit;
  for (const Column& column : columns_) {
    const double converted = conversion * column.magnitude * (1 + 0x1p-20) + (values_exact_ ? 0.0 : A::tiny);
    const double computed = column.range * mixing + ratio * column.magnitude + underflow;
    // Clipped, both averages lie in the hull of the packed values.
    const double size = (row.clipped ? std::min(computed, column.range) : computed) + converted;
    bound.rounding = std::max(bound.rounding, size);
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
  const double keys = static_cast<double>(row.keys);
  const double log_sum = log2_above(row.keys) + 2;
  const double lse = (std::fabs(row.row_max) + 1 + std::fabs(shift_)) * kLn2;
  bound.lse = (weight.zeta + 2 * weight.far + gamma / (1 - gamma) + underflow + 4 * kU * (lse + log_sum)) * kSlack;
  // Section 6: nothing far, no product and no stored average in the subnormal range.
  const double span = span_of(row);
  const double least = std::max(0x1p40 * A::normal, stored > 0.0 ? 0x1p-126 : 0.0);
  if (with_relative && values_exact_ && weight.far == 0.0 && std::exp2(-span) / keys * smallest_value_ >= least) {
    const double growth = std::exp(2 * weight.zeta);
    bound.relative = (std::expm1(2 * weight.zeta) + growth * (ratio + stored) * (1 + 0x1p-18)) * kSlack;
  }
  return bound;
}

/// Section 7: the row whose every measure is the worst the statistics allow.
template <class T>
ExactBound exact_bound(const HeadScore& score, const KeyStatistics& stored, const QueryStatistics& queries,
                       DType output, const ScoreFacts& facts) {
  if (stored.visible == 0) {
    return {0.0, 0.0, 0.0};
  }
  const KeyStatistics keys = as_rounded<T>(stored);
  constexpr double kMore = 1 + 0x1p-27;  // above every product of slacks that a row's own measures carry
  const double shift = std::ceil(keys.bias_max * kLog2E);
  const RowCertifier<T> certifier(score, static_cast<std::int64_t>(keys.key_min.size()), keys, shift,
                                  queries.queries_exact, output, facts.soft_cap);
  RowMeasures row;
  row.keys = keys.keys;
  row.from_start = !facts.intervals;
  row.clipped = !facts.intervals;
  row.mask_size = facts.pairs ? kInfinity : 0.0;
  double hoelder = 0.0;
  double box = 0.0;
  for (std::size_t l = 0; l < keys.key_min.size(); ++l) {
    const double query = largest_magnitude(queries.query_min[l], queries.query_max[l]);
    const double key = largest_magnitude(keys.key_min[l], keys.key_max[l]);
    hoelder += query * key;
    if (score.kind == ScoreKind::gaussian) {
      const double h = score.bandwidth[l];
      const double far = std::max(queries.query_max[l] - keys.key_min[l], keys.key_max[l] - queries.query_min[l]) / h;
      box += far * far;
      const double lost = queries.queries_exact && keys.keys_exact ? 0.0 : ExactArithmetic<T>::unit * (query + key) / h;
      row.conversion += kLog2E / 2 * lost * lost * kMore;
    }
  }
  if (score.kind == ScoreKind::gaussian) {
    row.size = kLog2E / 2 * box * kMore;
  } else {
    const double factor = std::fabs(score.scale) * kLog2E * kMore;
    row.size = factor * std::min(hoelder, queries.max_norm * keys.max_norm);
    row.packed_query = factor * queries.max_norm;
  }
  const double cap = facts.soft_cap > 0.0 ? facts.soft_cap * kLog2E * kMore : kInfinity;
  row.row_max = -(std::min(row.size, cap) + (keys.bias_max - keys.bias_min) * kLog2E + 1) * kMore;
  for (std::size_t c = 0; c < keys.value_min.size(); ++c) {
    row.largest_output = std::max(row.largest_output, largest_magnitude(keys.value_min[c], keys.value_max[c]));
  }
  row.largest_output *= kMore;
  return certifier.certify(row);
}

template class RowCertifier<float>;
template class RowCertifier<double>;
template ExactBound exact_bound<float>(const HeadScore&, const KeyStatistics&, const QueryStatistics&, DType,
                                       const ScoreFacts&);
template ExactBound exact_bound<double>(const HeadScore&, const KeyStatistics&, const QueryStatistics&, DType,
                                        const ScoreFacts&);

}  // namespace polyattn::engines
