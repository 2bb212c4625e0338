#pragma once

/// What certificate a degree would get, estimated from a few rows against a few keys by the formulas that later certify
/// every row. An estimate decides what is tried; only execution certifies.

#include "engines/polynomial/frame.hpp"
#include "engines/polynomial/key_side.hpp"
#include "engines/polynomial/table.hpp"
#include "numerics/exp_polynomial.hpp"
#include "polyattn/options.hpp"

#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::planning {

/// Score moments of sampled rows, per unit of weight: moments[t] = sum w s^t / sum w.
struct SampledRow {
  engines::RowRadius radius;
  double share = 0.0;  ///< of all rows, that it stands for
  std::vector<double> moments;
  double mass = 0.0;             ///< sum w exp(s), per unit of weight
  double spread = 0.0;           ///< largest over columns of sum w s^2 (|v - mu| + |answer - mu|), per unit of weight
  std::vector<double> answer{};  ///< estimated, per column
  std::vector<double> pulled{};  ///< few columns: sum w s^2 v / sum w s^2, per column
  double outlying = 0.0;         ///< sum w exp(s) over keys set apart, per unit of weight
  double away = 0.0;             ///< how far their values pull the answer from the mean, largest over columns
  double lse = 0.0;              ///< estimate of log D, of the stated score
  double lse_allowed = std::numeric_limits<double>::infinity();  ///< what is asked of its bound
};

struct Sample {
  std::vector<SampledRow> rows;
  std::int64_t queries = 0;
  double served_radius = 0.0;     ///< the few rows beyond it are left to exact
  double weight = 0.0;            ///< estimate of W
  std::vector<double> deviation;  ///< of the values, per column, weighted
};

inline constexpr std::int64_t kRankedRows = 8192;  ///< looked at for their radius, evenly spaced
inline constexpr int kSampledRows = 7;             ///< of each stratum of radii
inline constexpr int kSampledKeys = 512;
inline constexpr int kMaxPlannedDegree = 30;

/// Rows against keys that are not left out; queries may be a representative set. Cost: kRankedRows * dim,
/// and some 63 * kSampledKeys * (dim + degree). Polynomials are to serve `share` of the rows, those of smallest
/// radius.
Sample draw_sample(const engines::HeadProblem& problem, const engines::Frame& frame, const engines::ValueRange& values,
                   double share, const base::Context& context);

/// Error constants of the polynomials of one degree for a ladder of radii, for predictions: rounding left out.
struct ErrorTable {
  int degree = 0;
  std::vector<double> radii;                ///< descending
  std::vector<std::vector<double>> errors;  ///< [radius][q]
};

/// Tables of many degrees; series are computed once, when first needed.
class ErrorSeries {
 public:
  /// For rows of radius up to `radius`, degrees up to `highest_degree`.
  ErrorSeries(double radius, int highest_degree);
  [[nodiscard]] ErrorTable table(int degree);

 private:
  int highest_degree_;
  std::vector<double> radii_;
  std::vector<std::vector<numerics::ExpSeries>> series_;  ///< [radius][q], the first few q
};

struct Prediction {
  double bound = 0.0;          ///< largest over the sampled rows that meet the tolerance; of all if none does
  double failing_share = 0.0;  ///< of rows that would fall to exact
};

/// `spread`: with value-weighted second moments.
Prediction predict(const Sample& sample, const engines::Frame& frame, const engines::ValueRange& values,
                   std::int64_t rank, const ErrorTable& table, bool spread, Arithmetic arithmetic, DType output,
                   std::int64_t keys, double tolerance);

/// Proved before any row is seen: |T~ - T| for every row within the polynomial's radius, from the uniform bound and
/// Jensen's inequality. 16-bit storage apart.
double a_priori_bound(const engines::Frame& frame, const engines::ValueRange& values,
                      const numerics::ExpPolynomial& polynomial, const engines::RoundingModel& rounding,
                      std::int64_t keys, DType output);

}  // namespace polyattn::planning
