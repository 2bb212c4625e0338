#pragma once

/// An oracle for attention of order 2: what the reductions ask, and all they learn.

#include "polyattn/options.hpp"

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

namespace polyattn::lab {

/// How far from the truth T >= 0 an answer T~ may be for the decision that is read from it: |T~ - T| <= absolute for
/// every row, or |T~ - T| <= relative * T. 0: this form does not help.
struct NeededAccuracy {
  double absolute = 0.0;
  double relative = 0.0;
};

/// One head with one column of values, all of them 0 or 1. Scores are scale * <q_i, k_j>.
struct Order2Instance {
  std::int64_t dim = 0;
  std::vector<float> queries;  ///< [n, dim]
  std::vector<float> keys;     ///< [m, dim]
  std::vector<float> values;   ///< [m]
  double scale = 1.0;
  std::optional<Segments> segments;  ///< rows that see their own keys only
  NeededAccuracy needed;

  [[nodiscard]] std::int64_t rows() const noexcept;
  [[nodiscard]] std::int64_t key_count() const noexcept { return static_cast<std::int64_t>(values.size()); }
};

/// Averages, and what is known of their errors.
struct OracleAnswer {
  std::vector<double> output;                                 ///< [n]
  double absolute = std::numeric_limits<double>::infinity();  ///< |T~ - T| is at most this, for every row
  double relative = std::numeric_limits<double>::infinity();  ///< and at most this times T
};

using Order2Oracle = std::function<OracleAnswer(const Order2Instance&)>;

/// The library as the oracle, with its certificate. Of `options` engine, arithmetic, degree, threads, memory,
/// strictness, calibration and progress count. A constant accuracy is asked for as a tolerance, so that any engine may
/// answer. For a relative one `exact` in float64 is tried first and `reference`, whose relative form reaches further,
/// after it, unless an engine is forced: then that one answers as well as it can.
Order2Oracle engine_oracle(Options options = {});

/// Asks, and throws Error (not_reachable) with the numbers if what the oracle vouches for is not enough for the
/// decision, or (invalid_argument) if it answers another number of rows.
std::vector<double> ask(const Order2Oracle& oracle, const Order2Instance& instance);

}  // namespace polyattn::lab
