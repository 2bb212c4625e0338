#pragma once

/// Pointwise standard errors of a regression from two denominators. Proofs: docs/proofs/smoothing.md, sections 2 and 3.

#include "api/leave_one_out.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::api {

/// H / sqrt 2, rounded: the bandwidth whose kernel is the square of that at H.
std::vector<double> squared_weights_bandwidth(const std::vector<double>& bandwidth);
/// What to ask of both log-sum-exps so that sqrt(sum w^2) / sum w is right to `relative`.
double lse_tolerance_for(double relative) noexcept;

/// Denominators of all rows: logarithms and their bounds.
struct Denominators {
  const double* lse = nullptr;  ///< log sum w
  const double* lse_bound = nullptr;
  const double* squared = nullptr;        ///< log sum w^2, at squared_weights_bandwidth
  const double* squared_bound = nullptr;  ///< as the smoothing at that bandwidth gave it
};
/// Writes errors[rows, columns] and bounds[rows].
void standard_errors(const LeaveOneOut& residuals, const Denominators& sums, std::int64_t points, std::int64_t rows,
                     double* errors, double* bounds, int threads);

}  // namespace polyattn::api
