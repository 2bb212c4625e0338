#pragma once

/// What the query side needs of the keys: moments scaled to the arithmetic, and the proved bounds of their sums.

#include "base/memory.hpp"
#include "engines/polynomial/frame.hpp"
#include "engines/polynomial/moments.hpp"
#include "engines/polynomial/table.hpp"

#include <vector>

namespace polyattn::engines {

/// Columns, that of the denominator included, up to which bounds by chords are taken: with more they would cost more
/// than they are likely to save.
inline constexpr std::int64_t kChordColumns = 9;

/// Rounding of one evaluation in arithmetic of unit roundoff u, relative to the sum of absolute values (docs/theory.md,
/// section on rounding): |N^ - N| <= gamma * P_abs(a) * sum w |v|, plus `tiny` for underflow.
struct RoundingModel {
  double unit = 0.0;  ///< u
  double gamma = 0.0;
  double smallest = 0.0;  ///< spacing of subnormal numbers: absolute error of an operation that underflows
  double score = 0.0;     ///< relative perturbation of z y x: rounded coordinates
  double weight = 0.0;    ///< perturbation of log weights by rounding them to the arithmetic
  double lost = 0.0;      ///< what a weight may lose by underflow
};

template <class T>
RoundingModel rounding_model(int degree, std::int64_t rank, std::int64_t keys) noexcept;

/// Per column in the values' centred units (v - mu), and for all.
struct KeySideBounds {
  double weight_low = 0.0;  ///< bounds of W = sum w, before and after
  double weight_high = 0.0;
  double range = 0.0;           ///< largest high - low
  double largest_answer = 0.0;  ///< largest |v| (not centred): bound on |T|
  /// What a row's uniform bound is multiplied with when its polynomial is chosen. Infinite, so that it takes no part,
  /// where chords do: a polynomial that is best by the variance is not best by chords (docs/certificate-looseness.md).
  double largest_deviation = 0.0;
  double typical_distance = 0.0;  ///< of values from answers, an estimate that decides which polynomial a row takes
  double z_sum = 0.0;             ///< Z = sum_l |z_l|
  double largest_absolute = 0.0;
  std::vector<double> low;
  std::vector<double> high;
  std::vector<double> mean;
  std::vector<double> deviation;
  std::vector<double> half_inverse;
  std::vector<double> absolute;
};

/// `storage` is reused: bounds of many blocks need no memory of their own.
KeySideBounds bound_key_side(const Frame& frame, const ValueRange& values, const MomentTotals& totals,
                             const RoundingModel& rounding, KeySideBounds storage = {});
/// The same where sums of weights, of w |v| and of w v^2 may have lost `lost` each by underflow.
KeySideBounds bound_sums(const Frame& frame, const ValueRange& values, const MomentTotals& totals,
                         const RoundingModel& rounding, double lost, KeySideBounds storage);

/// scaled = fl_T(multinomial weight * total), moment by moment: what evaluate multiplies features of y with.
template <class T>
void scale_moments(const MomentTotals& totals, const double* weights, base::Buffer<T>& scaled) noexcept;

}  // namespace polyattn::engines
