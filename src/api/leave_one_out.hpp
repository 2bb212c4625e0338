#pragma once

/// What the regression errs by at the points themselves if each is answered by the others. Proof of the bounds:
/// docs/proofs/smoothing.md, section 1.

#include "api/smoothing_calls.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace polyattn::api {

/// A point is scored if the others' weights add up to this or more.
inline constexpr double kLeastWeight = 0x1p-1022;

/// Mean squared residuals of `values` [n, columns], given what leaving one out answered.
/// @param answers  [1, 1, n, columns], float32 or float64
/// @param bounds   on the error of each row of answers
/// @param lse      log of the total weight the others give each point
LeaveOneOut residuals_of(const ConstView& values, const ConstView& answers, const double* bounds, const double* lse,
                         double least_weight, int threads);

struct LeftOut {
  LeaveOneOut residuals;
  Report report;
};
Options leave_one_out_options(const SmoothingCalls& calls, const SmoothingInputs& inputs,
                              const std::vector<double>& bandwidth, const Tolerance& tolerance);
/// Smooths the points, leaving one out, at this bandwidth: one call, which counts as `work`. Memory: columns + 2
/// numbers for each point.
LeftOut leave_one_out(SmoothingCalls& calls, const SmoothingInputs& inputs, const std::vector<double>& bandwidth,
                      const Tolerance& tolerance, double least_weight, double work);

}  // namespace polyattn::api
