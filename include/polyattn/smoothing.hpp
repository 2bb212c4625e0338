#pragma once

/// Kernel smoothing with a certificate: regression, density estimation and the choice of a bandwidth.
///
/// Points x_j in d dimensions, values y_j, one bandwidth H_l for each axis, weights w_j (1 unless given) and the
/// Gaussian kernel
///
///     K_j(x) = w_j exp(-sum_l (x_l - x_jl)^2 / (2 H_l^2)).
///
/// Everything here is attention with the Gaussian score: queries are where the answer is wanted, keys are the points.
/// Its engines, its planner and its bounds are used, and its words for tolerances, engines, reports and errors.
///
/// Views are matrices [1, 1, n, columns], as `matrix(data, n, columns)` makes them, of any dtype and strides; their
/// entries are taken as exact. Points and values of a weight of 0 are never read. Proofs: docs/proofs/smoothing.md.

#include "polyattn/error.hpp"
#include "polyattn/export.hpp"
#include "polyattn/options.hpp"
#include "polyattn/report.hpp"
#include "polyattn/tensor.hpp"
#include "polyattn/view.hpp"

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace polyattn {

struct SmoothOptions {
  /// H, in the units of the points: one for all axes, or one for each. Positive.
  std::vector<double> bandwidth = {};
  /// Of the regression. 0 asks for the exact engine, as in `attend`.
  Tolerance tolerance{1e-4, ToleranceKind::of_value_range};
  /// log w_j as a view made by `bias(data, n)`; -infinity drops the point. Not together with `standard_error`.
  std::optional<ConstView> log_weights = std::nullopt;
  /// Every point is answered by the others: row i leaves point i out. Only where the queries are the points themselves.
  bool leave_one_out = false;

  /// Pointwise standard error beside the regression: one more smoothing of the points, leaving one out, and a second
  /// denominator at bandwidth H / sqrt 2, so about three times the cost. At least two points.
  bool standard_error = false;
  /// Relative, of the factor sqrt(sum w^2) / sum w of the standard error. Positive. What is asked for: with a query so
  /// far out that float64 does not give it, some 10^5 bandwidths, bounds may be larger, and say by how much.
  double standard_error_tolerance = 1e-3;

  bool want_row_bounds = false;  ///< the certificate of the regression for each query
  bool want_lse = false;         ///< log of sum_j K_j for each query, with its bound: how much a query sees
  std::optional<DType> output_dtype = std::nullopt;  ///< of the regression; default: as `attend`

  Engine engine = Engine::automatic;
  Arithmetic arithmetic = Arithmetic::automatic;
  bool strict = false;  ///< a forced engine fails instead of handing rows to exact
  int threads = 0;      ///< 0: all the machine offers
  std::uint64_t max_memory = std::numeric_limits<std::uint64_t>::max();  ///< bytes beyond inputs and outputs
  std::optional<Calibration> calibration = std::nullopt;
  Progress progress = {};
};

/// What leaving one out says of the noise. With r_i = y_i - T_i, T_i the regression at x_i from all other points,
/// variance[c] is the mean of r_ic^2 over the points that are scored: those to whom the others give a total weight of
/// 2^-1022 (or `BandwidthOptions::least_weight`) or more, as computed.
struct LeaveOneOut {
  std::vector<double> variance;        ///< per column of the values; the mean squared error of leaving one out
  std::vector<double> variance_bound;  ///< proved: |variance - that of exact arithmetic over the same points|
  std::int64_t scored = 0;
  std::int64_t unscored = 0;  ///< points that see no other: no error can be given for them
};

struct SmoothResult {
  Tensor output;                     ///< T [1, 1, m, columns]: sum_j K_j y_j / sum_j K_j; 0 where nothing is seen
  std::optional<Tensor> row_bounds;  ///< float64 [1, 1, m, 1]: bounds the error of every column, 16-bit storage apart
  std::optional<Tensor> lse;         ///< float64 [1, 1, m, 1]: log sum_j K_j; -infinity where nothing is seen
  std::optional<Tensor> lse_bound;   ///< float64 [1, 1, m, 1]
  /// sqrt(variance[c]) sqrt(sum_j K_j^2) / sum_j K_j, float64 [1, 1, m, columns], if asked for: the standard deviation
  /// of T at the query if the noise is independent and has that variance everywhere. Bias is not in it.
  std::optional<Tensor> standard_error;
  /// float64 [1, 1, m, 1]: |standard_error - that of exact arithmetic| for every column, the error of `residuals`
  /// included. Proved; what is certified is the formula, not that the noise is as it assumes.
  std::optional<Tensor> standard_error_bounds;
  std::optional<LeaveOneOut> residuals;          ///< with `standard_error`
  std::int64_t blind = 0;                        ///< queries that see no point: all others left out or dropped
  Report report;                                 ///< of the regression: its certificate, engine, cost
  std::optional<Report> residual_report;         ///< of leaving one out, unless that is the regression itself
  std::optional<Report> squared_weights_report;  ///< of sum_j K_j^2
  double seconds = 0.0;
  std::uint64_t peak_bytes = 0;  ///< most bytes held at any time, inputs and outputs excluded
};

/// Nadaraya-Watson regression of values [n, columns] at points [n, d], at the queries [m, d]: T(x) = sum_j K_j(x) y_j /
/// sum_j K_j(x), within `options.tolerance` of the truth or not at all. m may be 0.
///
/// Cost: one call of `attend`, whatever engine the planner takes; d_v is the number of columns.
/// Errors: invalid_argument for shapes, numbers and combinations that mean nothing; non_finite, naming row and column;
/// unsupported, not_reachable, out_of_memory, cancelled as `attend`.
/// Source: Nadaraya (1964), Watson (1964).
POLYATTN_EXPORT SmoothResult smooth(const ConstView& points, const ConstView& values, const ConstView& queries,
                                    const SmoothOptions& options);
/// The same at the points themselves, every point seeing itself unless `leave_one_out`.
POLYATTN_EXPORT SmoothResult smooth(const ConstView& points, const ConstView& values, const SmoothOptions& options);

/// What `smooth` would do; nothing is smoothed but the few rows a plan tries.
struct SmoothPlan {
  PlanReport smoothing;
  std::optional<PlanReport> leave_one_out;    ///< the second pass that `standard_error` needs
  std::optional<PlanReport> squared_weights;  ///< and its third
  double predicted_seconds = 0.0;             ///< of all
  double predicted_bytes = 0.0;               ///< of the largest
};
POLYATTN_EXPORT SmoothPlan plan_smooth(const ConstView& points, const ConstView& values, const ConstView& queries,
                                       const SmoothOptions& options);
POLYATTN_EXPORT SmoothPlan plan_smooth(const ConstView& points, const ConstView& values, const SmoothOptions& options);

enum class DensityTolerance : std::uint8_t {
  of_peak,   ///< |f~ - f| <= value times the largest density anywhere (default); fast where the density is small
  relative,  ///< |f~ - f| <= value times f, at every query however far out
  absolute,  ///< |f~ - f| <= value, in the units of the density
};

struct DensityOptions {
  /// H, in the units of the points: one for all axes, or one for each. Positive.
  std::vector<double> bandwidth = {};
  double tolerance = 1e-4;  ///< positive
  /// `of_peak` is resolved against a lower bound of the largest density, from at most 64 points answered exactly.
  DensityTolerance tolerance_kind = DensityTolerance::of_peak;
  /// The natural logarithm of the density instead, which never underflows. Its tolerance is absolute, |log f~ - log f|
  /// <= value, whatever the kind says; `absolute` is refused.
  bool log = false;
  /// log w_j as a view made by `bias(data, n)`; -infinity drops the point.
  std::optional<ConstView> log_weights = std::nullopt;

  Engine engine = Engine::automatic;
  Arithmetic arithmetic = Arithmetic::automatic;
  bool strict = false;  ///< a forced engine fails instead of handing rows to exact
  int threads = 0;      ///< 0: all the machine offers
  std::uint64_t max_memory = std::numeric_limits<std::uint64_t>::max();  ///< bytes beyond inputs and outputs
  std::optional<Calibration> calibration = std::nullopt;
  Progress progress = {};
};

struct DensityResult {
  /// float64 [1, 1, m, 1]: f, per unit of volume, or log f. A density below the range of float64 is stored as 0, one
  /// above it as infinity.
  Tensor density;
  Tensor bounds;  ///< float64 [1, 1, m, 1]: proved |f~ - f|, or |log f~ - log f|; infinite beside an infinity
  double largest_bound = 0.0;   ///< over the queries
  double tolerance = 0.0;       ///< absolute, as resolved; for `relative` the value itself
  double log_normaliser = 0.0;  ///< log of (sum_j w_j) prod_l (sqrt(2 pi) H_l)
  Report report;                ///< its certificate says nothing, there are no values; `lse_bound` is what counts
  double seconds = 0.0;
  std::uint64_t peak_bytes = 0;  ///< most bytes held at any time, inputs and outputs excluded
};

/// Kernel density estimate of points [n, d] at queries [m, d]:
///
///     f(x) = sum_j K_j(x) / ( sum_j w_j prod_l sqrt(2 pi) H_l ),
///
/// which integrates to 1. m may be 0.
///
/// Cost: one call of `attend` without values. Errors as `smooth`. Source: Rosenblatt (1956), Parzen (1962).
POLYATTN_EXPORT DensityResult density(const ConstView& points, const ConstView& queries, const DensityOptions& options);
/// The same at the points themselves, each seeing itself.
POLYATTN_EXPORT DensityResult density(const ConstView& points, const DensityOptions& options);
/// What `density` would do.
POLYATTN_EXPORT PlanReport plan_density(const ConstView& points, const ConstView& queries,
                                        const DensityOptions& options);

/// Scott's rule: H_l = sigma_l n^(-1/(d+4)), sigma_l the sample standard deviation of column l (divided by n - 1, as in
/// scipy's gaussian_kde with a diagonal covariance). Rounded, not certified: it is a rule of thumb.
/// Errors: invalid_argument for fewer than two points, and for a column that is constant, naming it; non_finite.
/// Cost: O(n d). Source: Scott, Multivariate Density Estimation (1992), chapter 6.
POLYATTN_EXPORT std::vector<double> scott_bandwidth(const ConstView& points);

enum class BandwidthSearch : std::uint8_t {
  factor,    ///< one factor for all axes, every one of `factors` (default)
  per_axis,  ///< then each axis by itself, coordinate after coordinate, from the best of them
};

struct BandwidthOptions {
  BandwidthSearch search = BandwidthSearch::factor;
  /// Multiples of Scott's bandwidth to try; empty: 30 from 0.05 to 2, each 13.6 % above the last. Positive.
  std::vector<double> factors = {};
  /// per_axis: the bandwidth of an axis is multiplied or divided by a step, at first 2, as long as that gains, by more
  /// than the errors are known to and more than 0.01 %. When no axis gains, the step becomes its square root, until
  /// that is below this. Above 1.
  double finest_step = 1.1;
  int most_candidates = 200;  ///< per_axis: the search ends there, `factors` included, which are all tried; at least 1
  /// Of each smoothing that leaves one out; what it does to the error is bounded in `BandwidthScore::error_bound`.
  Tolerance tolerance{1e-4, ToleranceKind::of_value_range};
  /// A point is scored if the weights the others give it add up to this or more, as computed: 2^-1022, the least normal
  /// number, is reached by a neighbour within 37 bandwidths. From 2^-1022 to below infinity.
  double least_weight = 0x1p-1022;
  /// A candidate that scores a smaller share of the points is chosen only if none scores as many as this. In [0, 1].
  double least_scored = 0.99;

  Engine engine = Engine::automatic;
  Arithmetic arithmetic = Arithmetic::automatic;
  int threads = 0;                                                       ///< 0: all the machine offers
  std::uint64_t max_memory = std::numeric_limits<std::uint64_t>::max();  ///< bytes beyond inputs and outputs
  std::optional<Calibration> calibration = std::nullopt;
  /// Fraction of the candidates (per_axis: of `most_candidates`, so that it may end early).
  Progress progress = {};
};

/// What leaving one out says of one bandwidth.
struct BandwidthScore {
  std::vector<double> bandwidth;  ///< one for each axis
  /// Multiple of Scott's bandwidth; NaN where axes have factors of their own or candidates were given.
  double factor = std::numeric_limits<double>::quiet_NaN();
  /// Mean of |y_i - T_i|^2 over the points scored, T_i from all others, columns of values added as they are scaled.
  /// Infinite if no point is scored.
  double error = 0.0;
  double error_bound = 0.0;  ///< proved: distance from the error of exact arithmetic over the same points
  LeaveOneOut residuals;     ///< the same column by column
  HeadReport report;         ///< engine, certificate and cost of the smoothing
};

struct BandwidthResult {
  std::vector<double> bandwidth;  ///< of the best score, one for each axis
  std::size_t best = 0;           ///< its index in `scores`
  /// True if the errors of all other candidates, less their bounds, are above that of the best with its bound (or they
  /// score too few points): the choice is then proved to be that of exact arithmetic.
  bool certain = false;
  std::vector<BandwidthScore> scores;  ///< the curve, in the order tried; one that is repeated is tried once
  std::vector<double> scott;           ///< Scott's bandwidth; empty where candidates were given
  double seconds = 0.0;
  std::uint64_t peak_bytes = 0;  ///< most bytes held at any time, inputs excluded
};

/// The bandwidth with the least leave-one-out error of the regression of values [n, columns] at points [n, d], searched
/// among multiples of Scott's. Of equal errors the first tried wins.
///
/// Cost: one smoothing of the points for each candidate. Errors: as `smooth` and `scott_bandwidth`; invalid_argument if
/// no candidate lets any point see another.
POLYATTN_EXPORT BandwidthResult select_bandwidth(const ConstView& points, const ConstView& values,
                                                 const BandwidthOptions& options = {});
/// The same among `candidates`, each one number or one for each axis; search and factors of the options are not looked
/// at, nor is Scott's rule, so a constant column is no error here.
POLYATTN_EXPORT BandwidthResult select_bandwidth(const ConstView& points, const ConstView& values,
                                                 std::span<const std::vector<double>> candidates,
                                                 const BandwidthOptions& options = {});

}  // namespace polyattn
