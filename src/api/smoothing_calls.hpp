#pragma once

/// The calls of attend that one smoothing function makes, one after the other: they share its limit of memory, its
/// progress and its choice of engine.

#include "api/smoothing_inputs.hpp"
#include "base/memory.hpp"
#include "polyattn/attention.hpp"

#include <cstdint>

namespace polyattn::api {

/// What the options of all smoothing functions have in common.
struct Resources {
  Engine engine = Engine::automatic;
  Arithmetic arithmetic = Arithmetic::automatic;
  bool strict = false;
  int threads = 0;
  std::uint64_t max_memory = 0;
  std::optional<Calibration> calibration;
  Progress progress;
};

template <class AnyOptions>
Resources resources_of(const AnyOptions& options) {
  Resources resources{options.engine,     options.arithmetic,  false,           options.threads,
                      options.max_memory, options.calibration, options.progress};
  if constexpr (requires { options.strict; }) {
    resources.strict = options.strict;
  }
  return resources;
}

class SmoothingCalls {
 public:
  /// `work`: of all calls together, in any unit.
  SmoothingCalls(const Resources& resources, double work);

  /// Gaussian score, weights, tolerance and resources. The rest is the caller's.
  [[nodiscard]] Options options(const SmoothingInputs& inputs, const std::vector<double>& bandwidth,
                                const Tolerance& tolerance) const;
  /// attend_into; counts as `work` of the whole. Throws what it throws.
  Report attend(const Destinations& out, const ConstView& queries, const ConstView& points, const ConstView& values,
                Options options, double work);
  /// The same, but the tolerance on log-sum-exp is dropped if only that cannot be reached, as for a query so far from
  /// all points that rounding its scores costs more: its bound says what was reached.
  Report attend_with_lse(const Destinations& out, const ConstView& queries, const ConstView& points,
                         const ConstView& values, Options options, double work);
  /// attend_rows, beside the progress.
  Result attend_rows(const ConstView& queries, const ConstView& points, const ConstView& values,
                     std::span<const std::int64_t> rows, Options options);
  /// What `attend` would do.
  [[nodiscard]] PlanReport plan(const ConstView& queries, const ConstView& points, const ConstView& values,
                                Options options) const;

  /// Threads for what is done beside the calls.
  [[nodiscard]] int threads() const noexcept;
  /// For buffers beside the calls.
  [[nodiscard]] base::MemoryMeter& memory() noexcept { return memory_; }
  /// Most bytes at any time, those of the calls included.
  [[nodiscard]] std::uint64_t peak() const noexcept { return memory_.peak(); }

 private:
  [[nodiscard]] std::uint64_t memory_left() const noexcept { return memory_.limit() - memory_.used(); }
  void note_peak(std::uint64_t bytes);

  Resources resources_;
  base::MemoryMeter memory_;
  double work_;
  double done_ = 0.0;
  double shown_ = 0.0;  ///< largest fraction reported
};

/// A column [1, 1, n, 1] or a matrix in memory of ours.
View column(double* data, std::int64_t n) noexcept;

}  // namespace polyattn::api
