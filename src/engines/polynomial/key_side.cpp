#include "engines/polynomial/key_side.hpp"

#include "engines/polynomial/kernels.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

namespace polyattn::engines {

using base::usize;
using numerics::kU64;

template <class T>
RoundingModel rounding_model(int degree_of_features, std::int64_t rank, std::int64_t keys) noexcept {
  constexpr bool single = std::is_same_v<T, float>;
  RoundingModel model;
  model.unit = single ? numerics::kU32 : kU64;
  model.smallest = single ? 0x1p-149 : 0x1p-1074;
  const auto degree = static_cast<double>(degree_of_features);
  // In T: the centred value and its weighing, g products for the key's monomial (prefixes times the weighted value,
  // suffixes) and g-1 for the query's, a chain of kMomentBlock / width keys, joining lanes (4), the scaled moment, a
  // chain of 32 features or prefixes, the product with the suffix and a chain of groups or suffixes; 2 spare.
  const double chain = static_cast<double>(simd::kMomentBlock) / (single ? 16.0 : 8.0) + 4.0;
  const double groups = static_cast<double>(simd::kEvaluationGroups);
  const double steps = 2.0 * degree + 2.0 + chain + 1.0 + static_cast<double>(simd::kEvaluationGroup) + groups + 2.0;
  // In float64: blocks and chunks of keys, the multinomial weight (5g + 2), sums of groups or
  // suffixes (of a degree at most rank / 32 + 1 where each is added in float64; else rank / 32 + suffixes in chains of
  // at least 17), and the sum over degrees with its coefficient. The smallest blocks are kCausalBlock keys.
  const double blocks = std::ceil(static_cast<double>(keys) / static_cast<double>(kCausalBlock)) + 16.0 +
                        static_cast<double>(rank) / 16.0 + 3.0;
  const double wide = blocks + 6.0 * degree + 12.0;
  model.gamma = numerics::inflate(
      (1.0 + numerics::gamma(steps, model.unit)) * (1.0 + numerics::gamma(wide, kU64)) - 1.0 + 4.0 * kU64, 4);
  // y and x are each rounded from float64 differences (one more float64 rounding), z carries three.
  model.score = 2.01 * model.unit + 10.0 * kU64;
  model.weight = 1.01 * model.unit;
  model.lost = single ? 0x1p-149 : 0x1p-1021;  // the exponential is 0 below
  return model;
}
template RoundingModel rounding_model<float>(int, std::int64_t, std::int64_t) noexcept;
template RoundingModel rounding_model<double>(int, std::int64_t, std::int64_t) noexcept;

KeySideBounds bound_key_side(const Frame& frame, const ValueRange& values, const MomentTotals& totals,
                             const RoundingModel& rounding, KeySideBounds storage) {
  return bound_sums(frame, values, totals, rounding, static_cast<double>(totals.keys) * rounding.smallest,
                    std::move(storage));
}

KeySideBounds bound_sums(const Frame& frame, const ValueRange& values, const MomentTotals& totals,
                         const RoundingModel& rounding, double lost, KeySideBounds storage) {
  KeySideBounds out = std::move(storage);
  for (std::vector<double>* array :
       {&out.low, &out.high, &out.mean, &out.deviation, &out.half_inverse, &out.absolute}) {
    array->clear();
  }
  out.z_sum = out.range = out.largest_answer = out.largest_absolute = out.typical_distance = 0.0;
  const auto value_dim = static_cast<std::int64_t>(totals.absolute.size());
  out.largest_deviation = value_dim + 1 <= kChordColumns ? std::numeric_limits<double>::infinity() : 0.0;
  const double g = rounding.gamma;
  const double weight = totals.totals[usize(value_dim)];
  const double keys_tiny = lost;
  out.weight_low = std::max(0.0, weight * (1.0 - g) - keys_tiny) * (1.0 - 1e-14);
  out.weight_high = (weight / (1.0 - g) + keys_tiny) * (1.0 + 1e-14);
  if (!(g < 0.5)) {  // no statement possible: every row will be refused
    out.weight_low = 0.0;
    out.weight_high = std::numeric_limits<double>::infinity();
  }
  for (const double z : frame.z) {
    out.z_sum += std::fabs(z);
  }
  for (std::int64_t c = 0; c < value_dim; ++c) {
    const auto i = usize(c);
    const double centre = values.centre[i];
    const double scale = std::max(std::fabs(values.low[i]), std::fabs(values.high[i])) + std::fabs(centre);
    const double slack = 4.0 * kU64 * scale;  // low - centre and high - centre are rounded
    out.low.push_back(values.low[i] - centre - slack);
    out.high.push_back(values.high[i] - centre + slack);
    const double absolute = (totals.absolute[i] / (1.0 - g) + keys_tiny) * (1.0 + 1e-14);
    const double mean = totals.totals[i] / weight;
    const double mean_error = (2.0 * g * absolute + keys_tiny) / out.weight_low * (1.0 + 1e-14);
    const double square = (totals.square[i] / (1.0 - g) + keys_tiny) * (1.0 + 1e-14);
    const double mean_low = std::max(0.0, std::fabs(mean) - mean_error);
    // The weighted variance, rounded up; never below a positive number, since a half inverse is taken.
    const double variance = square / out.weight_low * (1.0 + 1e-13) - mean_low * mean_low * (1.0 - 1e-13);
    const double deviation = std::sqrt(std::max(variance, 0.0)) * (1.0 + 1e-14);
    out.mean.push_back(mean);
    out.deviation.push_back(deviation + mean_error);
    out.half_inverse.push_back(deviation > 1e-300 ? 0.5 / deviation * (1.0 + 1e-14) : 1e300);
    out.absolute.push_back(absolute);
    out.range = std::max(out.range, values.high[i] - values.low[i]);
    out.largest_answer = std::max(out.largest_answer, std::max(std::fabs(values.low[i]), std::fabs(values.high[i])));
    out.largest_deviation = std::max(out.largest_deviation, out.deviation.back());
    out.largest_absolute = std::max(out.largest_absolute, absolute);
    out.typical_distance = std::max(out.typical_distance, 1.2 * absolute / out.weight_low);
  }
  return out;
}

template <class T>
void scale_moments(const MomentTotals& totals, const double* weights, base::Buffer<T>& scaled) noexcept {
  polynomial_kernels<T>().scale(
      {weights, totals.totals.data(), static_cast<std::ptrdiff_t>(totals.totals.size()), scaled.data()});
}
template void scale_moments<float>(const MomentTotals&, const double*, base::Buffer<float>&) noexcept;
template void scale_moments<double>(const MomentTotals&, const double*, base::Buffer<double>&) noexcept;

}  // namespace polyattn::engines
