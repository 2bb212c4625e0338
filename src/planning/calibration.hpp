#pragma once

/// From times of a few calls to the speeds of the cost model.

#include "polyattn/options.hpp"

#include <cstdint>
#include <functional>

namespace polyattn::planning {

/// A call whose execution is timed: queries and keys [n, d], values [n, d_v], a dot product of small scores.
struct CalibrationCall {
  Engine engine = Engine::exact;
  Arithmetic arithmetic = Arithmetic::float32;
  std::int64_t n = 0;
  std::int64_t dim = 0;
  std::int64_t value_dim = 0;
  int degree = -1;  ///< of polynomials
};

/// Seconds that a call takes.
using CallSeconds = std::function<double(const CalibrationCall&)>;

/// The speeds with which the cost model says what `seconds` says: a call that is mostly multiply-adds, one that is
/// mostly exponentials and one of polynomials for each arithmetic. A speed that cannot be told from the times is 0, the
/// default. `memory_bytes` is passed on.
Calibration calibrate(const CallSeconds& seconds, double memory_bytes);

}  // namespace polyattn::planning
