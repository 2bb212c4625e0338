#include "api/smoothing_calls.hpp"

#include "base/parallel.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace polyattn::api {

SmoothingCalls::SmoothingCalls(const Resources& resources, double work)
    : resources_(resources), memory_(resources.max_memory), work_(work) {}

Options SmoothingCalls::options(const SmoothingInputs& inputs, const std::vector<double>& bandwidth,
                                const Tolerance& tolerance) const {
  Options options;
  options.score = Gaussian{bandwidth};
  if (inputs.log_weights) {
    options.mask.key_bias = {*inputs.log_weights};
  }
  options.tolerance = tolerance;
  options.engine = resources_.engine;
  options.arithmetic = resources_.arithmetic;
  options.strict = resources_.strict;
  options.threads = resources_.threads;
  options.calibration = resources_.calibration;
  return options;
}

/// Bytes of a call that is over, on top of what is held now.
void SmoothingCalls::note_peak(std::uint64_t bytes) {
  memory_.take(bytes);  // within the limit, which the call was given
  memory_.give(bytes);
}

int SmoothingCalls::threads() const noexcept {
  return resources_.threads == 0 ? base::hardware_threads() : resources_.threads;
}

Report SmoothingCalls::attend(const Destinations& out, const ConstView& queries, const ConstView& points,
                              const ConstView& values, Options options, double work) {
  options.max_memory = memory_left();
  if (resources_.progress) {
    options.progress = [this, start = done_, work](double fraction) {
      shown_ = std::clamp((start + fraction * work) / work_, shown_, 1.0);
      return resources_.progress(shown_);
    };
  }
  Report report = attend_into(out, queries, std::array{points}, std::array{values}, options);
  done_ += work;
  note_peak(report.peak_bytes);
  return report;
}

Report SmoothingCalls::attend_with_lse(const Destinations& out, const ConstView& queries, const ConstView& points,
                                       const ConstView& values, Options options, double work) {
  try {
    return attend(out, queries, points, values, options, work);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::not_reachable || !options.lse_tolerance) {
      throw;
    }
  }
  options.lse_tolerance.reset();
  return attend(out, queries, points, values, options, work);
}

Result SmoothingCalls::attend_rows(const ConstView& queries, const ConstView& points, const ConstView& values,
                                   std::span<const std::int64_t> rows, Options options) {
  options.max_memory = memory_left();
  Result result = polyattn::attend_rows(queries, std::array{points}, std::array{values}, rows, options);
  note_peak(result.report.peak_bytes);
  return result;
}

PlanReport SmoothingCalls::plan(const ConstView& queries, const ConstView& points, const ConstView& values,
                                Options options) const {
  options.max_memory = memory_left();
  return polyattn::plan(queries, std::array{points}, std::array{values}, options).report();
}

View column(double* data, std::int64_t n) noexcept { return matrix(data, n, 1); }

}  // namespace polyattn::api
