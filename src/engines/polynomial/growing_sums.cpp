#include "engines/polynomial/growing_sums.hpp"

#include "engines/polynomial/key_shells.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

namespace polyattn::engines {

namespace {

using numerics::kU64;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Steps of the unit are counted exactly, with room to spare.
constexpr double kMostSteps = 0x1p40;
/// 2^-1074 is the least power of two there is.
constexpr double kLeastExponent = -1074.0;
/// Every total goes through a product and the sums of the new part's blocks and chunks, at most
/// keys / kMomentBlock + keys / kMomentChunk + 2: no more than the rounding model allows these keys and three blocks.
constexpr std::int64_t kKeysOfACall = 3 * kCausalBlock;

/// A log_scale is off from origin + steps ln 2 by the rounding of ln 2, of the product and of the sum; a key that was
/// weighed in an earlier unit by as much again.
double unit_error(const FrameShape& frame, const WeightUnit& unit) noexcept {
  return unit.steps == 0.0 ? 0.0 : 8.0 * kU64 * (std::fabs(unit.origin) + std::fabs(frame.log_scale) + 1.0);
}

/// Moves the unit up, if it must be for a weight of this size; false if there is no such unit.
bool raise_unit(double largest, GrownFrame& grown) {
  Frame& frame = grown.frame;
  WeightUnit& unit = grown.unit;
  if (!(largest > frame.log_scale)) {
    return true;
  }
  const double before = unit.steps;
  unit.steps = std::ceil((largest - unit.origin) / std::numbers::ln2);
  frame.log_scale = unit.origin + unit.steps * std::numbers::ln2;
  while (frame.log_scale < largest && unit.steps < kMostSteps) {
    unit.steps += 1.0;
    frame.log_scale = unit.origin + unit.steps * std::numbers::ln2;
  }
  if (!(unit.steps < kMostSteps) || !(frame.log_scale >= largest)) {
    return false;
  }
  const double exponent = before - unit.steps;
  grown.factor = exponent < kLeastExponent ? 0.0 : std::ldexp(1.0, static_cast<int>(exponent));
  const double inflation = std::exp(unit_error(frame, unit)) * (1.0 + 1e-14);
  for (double& mass : frame.far.mass) {
    mass = mass * grown.factor * inflation + 0x1p-1000;  // more than the product may lose
  }
  return true;
}

/// Hides added keys beyond the cut and charges rows for them.
void leave_out_added(const HeadProblem& added, Frame& frame, const base::Context& context) {
  if (frame.far.mass.empty()) {
    return;
  }
  const base::Buffer<double> square = key_shells(added, frame, context).square;
  base::Buffer<double> near(added.n_kv(), context.memory);
  bool any = false;
  for (std::size_t j = 0; j < near.size(); ++j) {
    const bool far = square[j] > frame.cut_square;
    near[j] = far ? -kInfinity : frame.log_weight[j];
    frame.log_weight[j] = far ? frame.log_weight[j] : -kInfinity;
    any = any || far;
  }
  if (any) {
    const KeyShells far = key_shells(added, frame, context);
    for (std::size_t i = 0; i < frame.far.mass.size(); ++i) {
      const double norm = static_cast<double>(i) * frame.far.step * (1.0 + 1e-12);
      frame.far.mass[i] = (frame.far.mass[i] + far_mass(far, 0, norm)) * (1.0 + 1e-15);
    }
  }
  frame.log_weight = std::move(near);
}

/// Extents that hold the added keys too; false if coordinates would exceed 1.
bool widen(const HeadProblem& added, const QueryExtent& queries, Frame& frame, const base::Context& context) {
  KeyExtent keys = measure_keys(added, frame, context);
  keys.norm = std::max(keys.norm, frame.key_norm);
  for (std::size_t l = 0; l < keys.half.size(); ++l) {
    keys.half[l] = std::max(keys.half[l], frame.key_half[l]);
  }
  const std::vector<double> scale = frame.key_scale;
  set_key_extent(frame, queries, keys);
  return frame.key_scale == scale && std::isfinite(frame.radius);
}

}  // namespace

WeightUnit weight_unit(const FrameShape& frame) noexcept { return {frame.log_scale, 0.0, frame.weight_error}; }

std::optional<GrownFrame> grow_frame(const FrameShape& frame, const WeightUnit& unit, const QueryExtent& queries,
                                     const HeadProblem& added, const base::Context& context) {
  GrownFrame grown;
  static_cast<FrameShape&>(grown.frame) = frame;
  grown.unit = unit;
  const std::vector<std::int64_t> far_keys = frame.far_keys;
  const KeyWeights weights = weigh_keys(added, grown.frame, context);
  if (!raise_unit(weights.largest, grown)) {
    return std::nullopt;
  }
  grown.unit.error = std::max(unit.error, weights.error);
  grown.frame.weight_error = grown.unit.error + unit_error(grown.frame, grown.unit);
  grown.frame.visible_keys += weights.visible;
  grown.frame.max_abs_key = std::max(frame.max_abs_key, weights.max_abs);
  grown.frame.radius_before = std::max(frame.radius_before, radius_as_given(added, queries, weights.norm_before));
  leave_out_added(added, grown.frame, context);
  if (!widen(added, queries, grown.frame, context)) {
    return std::nullopt;
  }
  grown.frame.far_keys = far_keys;  // of the old keys: predictions look at no others
  return grown;
}

template <class T>
MomentTotals add_keys(const MomentTotals& old, const HeadProblem& added, const GrownFrame& grown,
                      const ValueRange& values, const FeatureList& features, const base::Context& context) {
  MomentTotals totals = make_totals(features, context.memory);
  for (std::size_t i = 0; i < totals.totals.size(); ++i) {
    totals.totals[i] = old.totals[i] * grown.factor;
  }
  for (std::size_t c = 0; c < totals.absolute.size(); ++c) {
    totals.absolute[c] = old.absolute[c] * grown.factor;
    totals.square[c] = old.square[c] * grown.factor;
  }
  totals.keys = old.keys + kKeysOfACall;
  sum_moments<T>(added, grown.frame, values, features, 0, context, totals);
  return totals;
}
template MomentTotals add_keys<float>(const MomentTotals&, const HeadProblem&, const GrownFrame&, const ValueRange&,
                                      const FeatureList&, const base::Context&);
template MomentTotals add_keys<double>(const MomentTotals&, const HeadProblem&, const GrownFrame&, const ValueRange&,
                                       const FeatureList&, const base::Context&);

}  // namespace polyattn::engines
