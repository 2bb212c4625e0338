#pragma once

/// How a threshold grows with n: B*(n) = A (ln n)^b by least squares in logarithms, against the theory's b = 1/k.

#include "lab/threshold/settings.hpp"

#include <cstdint>
#include <span>
#include <string>

namespace polyattn::lab {

/// B* at n = e^log_n.
struct Threshold {
  double log_n = 0.0;
  double entries = 0.0;
};

struct Fit {
  int points = 0;
  double exponent = kAbsent;  ///< b
  double constant = kAbsent;  ///< A
  double residual = kAbsent;  ///< root mean square of ln B* minus the line
  /// A 95 % interval of b, by Student's distribution, as if the deviations from the line were independent and normal.
  /// They are steps of whole degrees and dimensions, so it is a yardstick and no more. Needs three points.
  double low = kAbsent;
  double high = kAbsent;
};

/// Of thresholds with positive B* and n > e; two different n at least, else all is NaN.
Fit fit_power(std::span<const Threshold> thresholds);

/// A with B* = A (ln n)^(1/k), the theory's curve through the thresholds: the geometric mean of B*/(ln n)^(1/k). NaN if
/// there are none.
double theory_constant(std::span<const Threshold> thresholds, int order);

enum class Verdict : std::uint8_t {
  nothing,  ///< fewer than three points, or an interval that allows no growth as well as twice the theory's exponent
  agrees,   ///< 1/k lies in the interval, and the interval rules something out
  slower,   ///< all of the interval below 1/k
  faster,   ///< all of it above
};
Verdict judge(const Fit& fit, int order);
/// A sentence.
std::string words(const Fit& fit, int order);

}  // namespace polyattn::lab
