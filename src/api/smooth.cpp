// Nadaraya-Watson regression: attention with the Gaussian score, and what is asked for beside it.

#include "api/leave_one_out.hpp"
#include "api/standard_error.hpp"
#include "base/checked.hpp"
#include "base/error.hpp"
#include "base/float_environment.hpp"
#include "polyattn/attention.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

namespace polyattn {

namespace {

using api::SmoothingCalls;
using api::SmoothingInputs;
using base::fail;

/// One smoothing, from checked inputs.
struct Smoothing {
  const SmoothingInputs& inputs;
  const SmoothOptions& options;

  [[nodiscard]] double pairs() const noexcept {
    return static_cast<double>(inputs.m()) * static_cast<double>(inputs.n()) + 1.0;
  }
  /// What leaving one out costs, in the unit of `pairs`.
  [[nodiscard]] double residual_pairs() const noexcept {
    return static_cast<double>(inputs.n()) * static_cast<double>(inputs.n()) + 1.0;
  }
  [[nodiscard]] double work() const noexcept {
    return pairs() + (options.standard_error ? pairs() + (residuals_apart() ? residual_pairs() : 0.0) : 0.0);
  }
  /// Whether the regression itself does not say what leaving one out does. An output of 16 bits is too coarse to.
  [[nodiscard]] bool residuals_apart() const noexcept {
    return !options.leave_one_out || size_of(dtype()) < sizeof(float);
  }
  [[nodiscard]] DType dtype() const noexcept {
    Options plain;
    plain.output_dtype = options.output_dtype;
    return output_dtype(inputs.queries, plain);
  }

  [[nodiscard]] Options regression(const SmoothingCalls& calls) const {
    Options call = calls.options(inputs, inputs.bandwidth, options.tolerance);
    call.mask.exclude_self = options.leave_one_out;
    call.output_dtype = options.output_dtype;
    call.want_lse = options.want_lse || options.standard_error;
    if (options.standard_error) {
      call.lse_tolerance = api::lse_tolerance_for(options.standard_error_tolerance);
    }
    return call;
  }
  /// Log-sum-exp alone, so the tolerance of an output that has no columns only says that approximations are welcome.
  [[nodiscard]] Options squared_weights(const SmoothingCalls& calls) const {
    Options call = calls.options(inputs, api::squared_weights_bandwidth(inputs.bandwidth), {1.0});
    call.mask.exclude_self = options.leave_one_out;
    call.want_lse = true;
    call.lse_tolerance = api::lse_tolerance_for(options.standard_error_tolerance);
    return call;
  }
};

void check_options(const SmoothingInputs& inputs, const SmoothOptions& options) {
  if (options.leave_one_out) {
    api::require_two_points(inputs.points, "to leave one out");
  }
  if (!options.standard_error) {
    return;
  }
  api::require_two_points(inputs.points, "for a standard error");
  if (options.log_weights) {
    fail(ErrorCode::unsupported, "standard_error: not supported together with log_weights");
  }
  if (!(std::isfinite(options.standard_error_tolerance) && options.standard_error_tolerance > 0.0)) {
    fail(ErrorCode::invalid_argument, "standard_error_tolerance", "a positive finite number",
         base::text(options.standard_error_tolerance));
  }
}

SmoothingInputs check(const ConstView& points, const ConstView& values, const ConstView& queries,
                      const SmoothOptions& options) {
  SmoothingInputs inputs = api::check_inputs(points, &values, queries, options.log_weights);
  inputs.bandwidth = api::check_bandwidth(options.bandwidth, inputs.d());
  check_options(inputs, options);
  return inputs;
}

void refuse_other_queries(const SmoothOptions& options) {
  if (options.leave_one_out) {
    fail(ErrorCode::invalid_argument, "leave_one_out",
         "no queries but the points themselves (the call without queries)", "queries");
  }
}

/// Tensors for what is wanted or needed, and where attend is to write. What is only needed counts as memory.
Destinations make_room(SmoothResult& result, const Smoothing& smoothing, base::MemoryMeter& memory) {
  const SmoothingInputs& inputs = smoothing.inputs;
  const SmoothOptions& options = smoothing.options;
  const Shape per_row{1, 1, inputs.m(), 1};
  base::checked_product({inputs.m(), inputs.columns(), 8}, "output");
  result.output = Tensor(smoothing.dtype(), {1, 1, inputs.m(), inputs.columns()});
  Destinations out;
  out.output = result.output.view();
  const auto add = [&](bool wanted, bool needed, std::optional<Tensor>& tensor, std::optional<View>& view) {
    if (wanted || needed) {
      memory.take(wanted ? 0 : static_cast<std::uint64_t>(inputs.m()) * sizeof(double));
      view = tensor.emplace(DType::float64, per_row).view();
    }
  };
  const bool residuals = options.standard_error && !smoothing.residuals_apart();
  add(options.want_row_bounds, residuals, result.row_bounds, out.row_bounds);
  add(options.want_lse, options.standard_error, result.lse, out.lse);
  add(options.want_lse, options.standard_error, result.lse_bound, out.lse_bound);
  return out;
}

const double* data_of(const std::optional<Tensor>& tensor) noexcept { return tensor->as<double>(); }

void add_standard_error(SmoothResult& result, const Smoothing& smoothing, SmoothingCalls& calls) {
  const SmoothingInputs& inputs = smoothing.inputs;
  const std::int64_t m = inputs.m();
  if (smoothing.residuals_apart()) {
    api::LeftOut left = api::leave_one_out(calls, inputs, inputs.bandwidth, smoothing.options.tolerance,
                                           api::kLeastWeight, smoothing.residual_pairs());
    result.residuals = std::move(left.residuals);
    result.residual_report = std::move(left.report);
  } else {
    result.residuals = api::residuals_of(inputs.values, result.output.view(), data_of(result.row_bounds),
                                         data_of(result.lse), api::kLeastWeight, calls.threads());
  }
  if (result.residuals->scored == 0) {
    fail(ErrorCode::invalid_argument, "bandwidth", "one at which a point sees another, for a standard error",
         "one at which none does");
  }
  const ConstView none = api::no_values(inputs.points);
  base::Buffer<double> squared(m, &calls.memory());
  base::Buffer<double> squared_bound(m, &calls.memory());
  const Options options = smoothing.squared_weights(calls);
  Tensor empty(output_dtype(inputs.queries, options), {1, 1, m, 0});
  Destinations out;
  out.output = empty.view();
  out.lse = api::column(squared.data(), m);
  out.lse_bound = api::column(squared_bound.data(), m);
  result.squared_weights_report =
      calls.attend_with_lse(out, inputs.queries, inputs.points, none, options, smoothing.pairs());
  result.standard_error.emplace(DType::float64, Shape{1, 1, m, inputs.columns()});
  result.standard_error_bounds.emplace(DType::float64, Shape{1, 1, m, 1});
  api::standard_errors(*result.residuals,
                       {data_of(result.lse), data_of(result.lse_bound), squared.data(), squared_bound.data()},
                       inputs.n(), m, static_cast<double*>(result.standard_error->data()),
                       static_cast<double*>(result.standard_error_bounds->data()), calls.threads());
}

SmoothResult run(const SmoothingInputs& inputs, const SmoothOptions& options) {
  const base::FloatEnvironment environment;
  const auto start = std::chrono::steady_clock::now();
  const Smoothing smoothing{inputs, options};
  SmoothingCalls calls(api::resources_of(options), smoothing.work());
  SmoothResult result;
  const Destinations out = make_room(result, smoothing, calls.memory());
  result.report = calls.attend_with_lse(out, inputs.queries, inputs.points, inputs.values, smoothing.regression(calls),
                                        smoothing.pairs());
  // Leaving one out hides a point from itself; nothing else hides one that has a weight.
  result.blind = options.leave_one_out && inputs.visible == 1 ? 1 : 0;
  if (options.standard_error) {
    add_standard_error(result, smoothing, calls);
  }
  if (!options.want_row_bounds) {
    result.row_bounds.reset();
  }
  if (!options.want_lse) {
    result.lse.reset();
    result.lse_bound.reset();
  }
  result.peak_bytes = calls.peak();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

SmoothPlan plan(const SmoothingInputs& inputs, const SmoothOptions& options) {
  const base::FloatEnvironment environment;
  const Smoothing smoothing{inputs, options};
  const SmoothingCalls calls(api::resources_of(options), 1.0);
  const ConstView& points = inputs.points;
  SmoothPlan plan;
  plan.smoothing = calls.plan(inputs.queries, points, inputs.values, smoothing.regression(calls));
  if (options.standard_error) {
    if (smoothing.residuals_apart()) {
      plan.leave_one_out = calls.plan(points, points, inputs.values,
                                      api::leave_one_out_options(calls, inputs, inputs.bandwidth, options.tolerance));
    }
    plan.squared_weights = calls.plan(inputs.queries, points, api::no_values(points), smoothing.squared_weights(calls));
  }
  for (const PlanReport* part : {&plan.smoothing, plan.leave_one_out ? &*plan.leave_one_out : nullptr,
                                 plan.squared_weights ? &*plan.squared_weights : nullptr}) {
    if (part != nullptr) {
      plan.predicted_seconds += part->predicted_seconds;
      plan.predicted_bytes = std::max(plan.predicted_bytes, part->predicted_bytes);
    }
  }
  return plan;
}

}  // namespace

SmoothResult smooth(const ConstView& points, const ConstView& values, const ConstView& queries,
                    const SmoothOptions& options) {
  refuse_other_queries(options);
  return run(check(points, values, queries, options), options);
}

SmoothResult smooth(const ConstView& points, const ConstView& values, const SmoothOptions& options) {
  return run(check(points, values, points, options), options);
}

SmoothPlan plan_smooth(const ConstView& points, const ConstView& values, const ConstView& queries,
                       const SmoothOptions& options) {
  refuse_other_queries(options);
  return plan(check(points, values, queries, options), options);
}

SmoothPlan plan_smooth(const ConstView& points, const ConstView& values, const SmoothOptions& options) {
  return plan(check(points, values, points, options), options);
}

}  // namespace polyattn
