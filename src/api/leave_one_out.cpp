#include "api/leave_one_out.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "base/parallel.hpp"
#include "base/rows.hpp"
#include "numerics/double_double.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
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
constexpr double kTiny = 0x1p-1070;     // more than underflow takes from a mean
constexpr std::int64_t kLoaded = 8192;  // numbers loaded at once
constexpr std::int64_t kBlock = 1024;   // rows added up by themselves; the last bits depend on it

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

/// What residuals are made of.
struct Rows {
  base::Rows values;
  base::Rows answers;
  const double* bounds;
  const double* lse;
  double least;  ///< of lse, for a point that is scored
};

/// Adds the residuals of rows [first, last), column by column; says how many were scored.
std::int64_t add_rows(const Rows& rows, std::int64_t first, std::int64_t last, std::span<Sums> sums) {
  const auto columns = static_cast<std::int64_t>(sums.size());
  const std::int64_t most = std::clamp<std::int64_t>(kLoaded / columns, 1, last - first);
  std::vector<double> values(usize(most * columns));
  std::vector<double> answers(usize(most * columns));
  std::int64_t scored = 0;
  for (std::int64_t next = first; next < last; next += most) {
    const std::int64_t count = std::min(most, last - next);
    base::load_rows(rows.values, next, count, values.data(), columns);
    base::load_rows(rows.answers, next, count, answers.data(), columns);
    for (std::int64_t i = 0; i < count; ++i) {
      if (rows.lse[next + i] >= rows.least) {
        ++scored;
        for (std::int64_t c = 0; c < columns; ++c) {
          const auto at = usize(i * columns + c);
          add_residual(sums[usize(c)], values[at], answers[at], rows.bounds[next + i]);
        }
      }
    }
  }
  return scored;
}

}  // namespace

LeaveOneOut residuals_of(const ConstView& values, const ConstView& answers, const double* bounds, const double* lse,
                         double least_weight, int threads) {
  const std::int64_t n = values.shape[2];
  const auto columns = usize(values.shape[3]);
  const std::int64_t blocks = base::blocks_of(n, kBlock);
  const Rows rows{base::head_rows(values, 0, 0), base::head_rows(answers, 0, 0), bounds, lse, std::log(least_weight)};
  std::vector<Sums> sums(usize(blocks) * columns);
  std::vector<std::int64_t> scored(usize(blocks));
  base::parallel_for(base::Context{threads}, blocks, [&](std::int64_t block, int) {
    const std::int64_t first = block * kBlock;
    scored[usize(block)] =
        add_rows(rows, first, std::min(first + kBlock, n), std::span(sums).subspan(usize(block) * columns, columns));
  });
  LeaveOneOut out;
  for (std::size_t block = 0; block < scored.size(); ++block) {
    out.scored += scored[block];
    for (std::size_t c = 0; c < columns && block > 0; ++c) {
      const Sums& more = sums[block * columns + c];
      sums[c].squares = numerics::add_same_sign(sums[c].squares, more.squares);
      sums[c].change += more.change;
    }
  }
  out.unscored = n - out.scored;
  const auto count = static_cast<double>(out.scored);
  for (std::size_t c = 0; c < columns; ++c) {
    const double variance = out.scored == 0 ? kInfinity : sums[c].squares.hi / count;
    if (out.scored > 0 && !std::isfinite(variance)) {
      fail(ErrorCode::non_finite, "values", "numbers whose squared residuals are in the range of float64",
           "larger ones in column " + std::to_string(c));
    }
    out.variance.push_back(variance);
    const double change = inflate(sums[c].change, n + 8) / count;
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
                                bounds.data(), lse.data(), least_weight, calls.threads());
  return left;
}

}  // namespace polyattn::api
