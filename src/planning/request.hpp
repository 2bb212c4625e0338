#pragma once

/// Options of a call after the public boundary has resolved them; the same for every head.

#include "polyattn/options.hpp"

#include <optional>

namespace polyattn::planning {

struct Request {
  Tolerance tolerance;
  std::optional<double> lse_tolerance;
  std::optional<double> density_tolerance;
  bool density_absolute = false;
  /// What the tolerance on D is of the largest D: all that is known before D is.
  std::optional<double> density_share;
  Guarantee guarantee = Guarantee::certified;
  Sampling sampling;
  std::int64_t heads = 1;  ///< of the call, among which a sampled guarantee splits its risk
  Engine engine = Engine::automatic;
  Arithmetic arithmetic = Arithmetic::automatic;
  std::optional<int> degree;
  bool strict = false;
  DType output = DType::float32;
  bool native_float32 = true;  ///< Q, K and V all fit float32
  bool want_lse = false;
  bool want_row_max = false;
  bool full_report = false;  ///< plan(): statistics, every candidate and the cost of mean(V), whatever they cost
  std::optional<Calibration> calibration;
};

}  // namespace polyattn::planning
