#pragma once

/// What a study of the threshold is about, and one point of it.
///
/// For n queries and n keys in each of k - 1 sets, d = ceil(C log2 n) dimensions, scores sum_l q_l k1_l ... / d,
/// entries uniform in [-B, B], tolerance n^-c of the value range: the regime of [AS23] Theorems 3.8 and 4.6 and of
/// [AS24] Theorems E.3 and B.2. The keys stand in for the values, so that the values depend on them.

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::lab {

/// What a point depends on beside n and B. Points of different settings do not belong in one study.
struct Settings {
  int order = 2;               ///< k, 2 to 4
  double dims_per_log = 0.5;   ///< C
  double accuracy = 0.5;       ///< c
  std::uint64_t seed = 1;      ///< of the entries
  int threads = 1;             ///< that predictions and measurements are for
  std::string speeds = "own";  ///< of the cost model: the program's own, or a name for a calibration

  friend bool operator==(const Settings&, const Settings&) = default;
};

constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();

/// One n and B. What there is not (no polynomial serves, nothing was measured) is NaN, -1 or empty.
struct Point {
  std::int64_t n = 0;
  std::int64_t dim = 0;
  double tolerance = 0.0;  ///< share of the value range
  double entries = 0.0;    ///< B

  // What the theorems ask for (threshold/theory.hpp).
  double score_bound = 0.0;      ///< B^k
  int theory_degree = -1;        ///< least with relative error `tolerance` on [-B^k, B^k]
  std::string papers_rank;       ///< C(k(g + d), kg)
  std::string rank_same_degree;  ///< C(d + g, g)

  // What the engine needs, by `plan`.
  double radius = kAbsent;  ///< of the scores after centring (order 2) or scaling the axes
  int degree = -1;
  std::int64_t rank = -1;
  std::string arithmetic;               ///< of the polynomials
  double bound = kAbsent;               ///< expected, as a share of the value range
  double left_to_exact = kAbsent;       ///< share of rows expected to fall to exact
  double mean_answer = kAbsent;         ///< error of the constant answer mean(V), share of the value range, estimated
  double polynomial_seconds = kAbsent;  ///< predicted, rows left to exact included
  double exact_seconds = kAbsent;       ///< predicted

  // With measuring.
  double polynomial_measured = kAbsent;  ///< seconds
  double exact_measured = kAbsent;       ///< seconds for all rows; from `exact_rows` of them
  std::int64_t exact_rows = -1;

  [[nodiscard]] bool served() const noexcept { return degree >= 0; }
  /// Predicted polynomial over exact time; infinite where no polynomial serves.
  [[nodiscard]] double predicted_ratio() const noexcept {
    return served() ? polynomial_seconds / exact_seconds : std::numeric_limits<double>::infinity();
  }
  /// The same as measured; NaN where one was not.
  [[nodiscard]] double measured_ratio() const noexcept { return polynomial_measured / exact_measured; }
  /// The constant answer would do: no engine is needed.
  [[nodiscard]] bool trivial() const noexcept { return mean_answer <= tolerance; }
};

}  // namespace polyattn::lab
