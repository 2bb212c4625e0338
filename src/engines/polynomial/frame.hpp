#pragma once

/// The coordinates the polynomial engine works in. Softmax attention does not change when all queries or all keys are
/// shifted, if the weights of the keys absorb the first shift; so both are centred and the scores become small:
///
///     s_ij = sum_l metric_l (q_il - qc_l)(k_jl - kc_l) + log_weight_j + (a row factor that cancels)
///
/// with log_weight_j = bias_j + sum_l metric_l qc_l k_jl for the dot score (metric = scale) and
/// bias_j - sum_l metric_l (k_jl - qc_l)^2 / 2 for the Gaussian one (metric_l = 1/H_l^2).
///
/// Coordinates are stored as y = (q - qc)/query_scale, x = (k - kc)/key_scale with powers of two as scales, so that
/// |x|, |y| <= 1 and scaling is exact; s'_ij = sum_l z_l y_il x_jl with z = metric * query_scale * key_scale.

#include "base/memory.hpp"
#include "base/parallel.hpp"
#include "engines/problem.hpp"

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

namespace polyattn::engines {

/// Where the queries are. `norm` is in the metric: sqrt(sum_l |metric_l| (q_l - centre_l)^2).
struct QueryExtent {
  std::vector<double> centre;
  std::vector<double> half;  ///< max |q_l - centre_l| per axis
  double norm = 0.0;
  double max_abs = 0.0;  ///< largest |q_l|
};

/// What rows are charged for keys that were left out, by their norm: sum w_j exp(|q| |k_j|) over those keys is at most
/// at(|q|).
struct FarCharge {
  double step = 0.0;
  std::vector<double> mass{};  ///< at multiples of `step`; empty: no key was left out

  [[nodiscard]] double at(double norm) const noexcept;
};

/// Keys of largest norm that predictions look at.
inline constexpr std::size_t kFarKeys = 16;

/// A frame without what it says of single keys.
struct FrameShape {
  std::vector<double> query_centre;
  std::vector<double> key_centre;
  std::vector<double> metric;
  std::vector<double> query_scale;
  std::vector<double> key_scale;
  std::vector<double> z;
  std::vector<double> query_half;  ///< queries farther out than this on an axis are not served
  std::vector<double> key_half;    ///< max |k_jl - kc_l| over visible keys that are not left out
  double key_norm = 0.0;           ///< max_j sqrt(sum_l |metric_l| (k_jl - kc_l)^2), rounded up
  double radius = 0.0;             ///< bound on |s'_ij| over the query extent and all visible keys
  double radius_before = 0.0;      ///< bound on |s_ij| as given
  double max_abs_key = 0.0;
  double log_scale = 0.0;     ///< M = max log_weight; weights are exp(log_weight - M)
  double weight_error = 0.0;  ///< bound on |error of log weight|, relevant keys, float64 roundings
  double cut_square = std::numeric_limits<double>::infinity();  ///< keys of larger centred_square are left out
  FarCharge far{};
  std::int64_t visible_keys = 0;
  std::vector<std::int64_t> far_keys;  ///< a few keys of largest norm, for predictions

  [[nodiscard]] std::int64_t dim() const noexcept { return static_cast<std::int64_t>(metric.size()); }
};

struct OutlyingKeys;

struct Frame : FrameShape {
  base::Buffer<double> log_weight;                 ///< per key, -inf where hidden, left out or set apart
  std::shared_ptr<const OutlyingKeys> outlying{};  ///< keys set apart (outlying_keys.hpp), if there are any
};

/// The metric of a score: its scale on every axis, or 1/H^2.
std::vector<double> metric_of(const HeadProblem& problem);

/// Centre (a trimmed mean, which a few outlying queries do not move), half widths and norm of the queries. Checks that
/// they are finite: Error (non_finite) names the first that is not. Cost: two passes over Q.
QueryExtent query_extent(const HeadProblem& problem, const base::Context& context);

/// Centres the keys of `problem` for queries in `extent`; checks that visible keys are finite. Cost: three passes over
/// K. `problem.queries` is not read.
Frame make_frame(const HeadProblem& problem, const QueryExtent& extent, const base::Context& context);

/// Extent of keys around the centre: half widths, and an upper bound of their norms.
struct KeyExtent {
  std::vector<double> half;
  double norm = 0.0;
};

/// Log weights of a set of keys, and what belongs to them.
struct KeyWeights {
  double largest = -std::numeric_limits<double>::infinity();  ///< -inf if no key is visible
  double error = 0.0;                                         ///< bound on the rounding of any, see Frame::weight_error
  double max_abs = 0.0;
  double norm_before = 0.0;  ///< largest squared norm as given, in the metric
  std::int64_t visible = 0;
  std::vector<double> mean;  ///< of the keys, weighted
};

/// The two passes over the keys that make_frame consists of, for a frame that has its metric and centres already: the
/// first sets frame.log_weight, from metric and query_centre, and checks that visible keys are finite. The second
/// measures keys whose log weight is not -inf about key_centre, and adds to frame.far_keys.
KeyWeights weigh_keys(const HeadProblem& problem, Frame& frame, const base::Context& context);
KeyExtent measure_keys(const HeadProblem& problem, Frame& frame, const base::Context& context);
/// Bound on |s_ij| as given, from the largest `norm_before`.
double radius_as_given(const HeadProblem& problem, const QueryExtent& queries, double norm_before) noexcept;

/// Sets what follows from the extent of queries and keys: scales, z and the radius.
void set_key_extent(Frame& frame, const QueryExtent& queries, const KeyExtent& keys);

/// sum_l |metric_l| (k_l - centre_l)^2 as computed, and an upper bound of the norm that belongs to it.
double centred_square(const std::vector<double>& metric, const double* row, const std::vector<double>& centre) noexcept;
double metric_norm(double square, std::size_t dim) noexcept;

/// More than any sum of squares or products can lose by underflow, per axis.
inline constexpr double kRadiusUnderflow = 0x1p-1000;

/// Bounds of one row, from its float64 coordinates q - qc: `radius` on |s'_ij| over keys and `box` on
/// sum_l |z_l y_l x_jl|, both inflated for the rounding of x and y to float32. `inside` is false if the row leaves the
/// frame's query box.
struct RowRadius {
  double radius = 0.0;
  double box = 0.0;
  bool inside = false;
  double norm = 0.0;  ///< upper bound of |q - qc| in the metric
};
RowRadius row_radius(const Frame& frame, const double* centred_query) noexcept;

/// Loads rows [first, first + count) of the keys as coordinates x[l * ld + j] (T) with x = 0 for hidden keys.
template <class T>
void load_key_coordinates(const HeadProblem& problem, const Frame& frame, std::int64_t first, std::int64_t count, T* x,
                          std::int64_t ld, std::vector<double>& scratch);

}  // namespace polyattn::engines
