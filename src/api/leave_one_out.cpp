#include "api/leave_one_out.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "base/rows.hpp"
#include "numerics/double_double.hpp"
#include "numerics/rounding.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace polyattn::api {

namespace {

using base::fail;
using base::usize;
using numerics::inflate;
using numerics::kU64;
using numerics::Pair;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kTiny = 0x1p-1070;  // more than underflow takes from a mean

/// Sums over the points scored, of one column.
struct Sums {
  Pair squares;         ///< of computed residuals
  double change = 0.0;  ///< of what the true squares may differ by
};

void add_residual(Sums& sums, double value, double answer, double bound) noexcept {
  const double residual = value - answer;
  const double size = std::fabs(residual);
  const double error = bound + kU64 * size;
  sums.squares = numerics::add_same_sign(sums.squares, {residual * residual, 0.0});
  sums.change += error * (2.0 * size + error);
}

}  // namespace

LeaveOneOut residuals_of(const ConstView& values, const ConstView& answers, const double* bounds, const double* lse,
                         double least_weight) {
  const std::int64_t n = values.shape[2];
  const std::int64_t columns = values.shape[3];
  const double least = std::log(least_weight);
  const base::Rows truth = base::head_rows(values, 0, 0);
  const base::Rows smoothed = base::head_rows(answers, 0, 0);
  std::vector<double> value(usize(columns));
  std::vector<double> answer(usize(columns));
  std::vector<Sums> sums(usize(columns));
  LeaveOneOut out;
  for (std::int64_t i = 0; i < n; ++i) {
    if (!(lse[i] >= least)) {
      continue;
    }
    ++out.scored;
    base::load_rows(truth, i, 1, value.data(), columns);
    base::load_rows(smoothed, i, 1, answer.data(), columns);
    for (std::size_t c = 0; c < sums.size(); ++c) {
      add_residual(sums[c], value[c], answer[c], bounds[i]);
    }
  }
  out.unscored = n - out.scored;
  const auto scored = static_cast<double>(out.scored);
  for (std::size_t c = 0; c < sums.size(); ++c) {
    const double variance = out.scored == 0 ? kInfinity : sums[c].squares.hi / scored;
    if (out.scored > 0 && !std::isfinite(variance)) {
      fail(ErrorCode::non_finite, "values", "numbers whose squared residuals are in the range of float64",
           "larger ones in column " + std::to_string(c));
    }
    out.variance.push_back(variance);
    const double change = inflate(sums[c].change, n + 8) / scored;
    out.variance_bound.push_back(out.scored == 0 ? kInfinity : inflate(change + 5.0 * kU64 * variance + kTiny, 4));
  }
  return out;
}

Options leave_one_out_options(const SmoothingCalls& calls, const SmoothingInputs& inputs,
                              const std::vector<double>& bandwidth, const Tolerance& tolerance) {
  Options options = calls.options(inputs, bandwidth, tolerance);
  options.mask.exclude_self = true;
  options.output_dtype = DType::float64;
  options.want_lse = true;
  return options;
}

LeftOut leave_one_out(SmoothingCalls& calls, const SmoothingInputs& inputs, const std::vector<double>& bandwidth,
                      const Tolerance& tolerance, double least_weight, double work) {
  const std::int64_t n = inputs.n();
  const Options options = leave_one_out_options(calls, inputs, bandwidth, tolerance);
  base::Buffer<double> answers(base::checked_mul(n, inputs.columns(), "values"), &calls.memory());
  base::Buffer<double> bounds(n, &calls.memory());
  base::Buffer<double> lse(n, &calls.memory());
  Destinations out;
  out.output = matrix(answers.data(), n, inputs.columns());
  out.row_bounds = column(bounds.data(), n);
  out.lse = column(lse.data(), n);
  LeftOut left;
  left.report = calls.attend(out, inputs.points, inputs.points, inputs.values, options, work);
  left.residuals = residuals_of(inputs.values, matrix(std::as_const(answers).data(), n, inputs.columns()),
                                bounds.data(), lse.data(), least_weight);
  return left;
}

}  // namespace polyattn::api
