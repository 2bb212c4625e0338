// Kernel density estimates: attention's denominators, normalised. Bounds: docs/proofs/smoothing.md, section 4.

#include "api/density_normaliser.hpp"
#include "api/smoothing_calls.hpp"
#include "base/checked.hpp"
#include "base/error.hpp"
#include "base/float_environment.hpp"
#include "base/parallel.hpp"
#include "base/rows.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

namespace polyattn {

namespace {

using api::Normaliser;
using api::SmoothingCalls;
using api::SmoothingInputs;
using base::fail;
using base::usize;
using numerics::inflate;
using numerics::kU64;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kPeakPoints = 64;
constexpr std::int64_t kBlock = 1024;  ///< rows handed out at once; no bits depend on it
constexpr double kReserve = 0x1p-8;    ///< share of a tolerance kept for the normaliser and the last roundings

/// A tolerance in the terms of attend, and what every row is held against in the end.
struct Goal {
  std::optional<double> of_lse;      ///< absolute
  std::optional<double> of_density;  ///< on the denominator
  bool absolute = false;             ///< of_density, in units of
  double unit = 1.0;                 ///< about the largest denominator
  double tolerance = 0.0;            ///< absolute, of the density or its logarithm; relative where that was asked for
};

SmoothingInputs check(const ConstView& points, const ConstView& queries, const DensityOptions& options) {
  SmoothingInputs inputs = api::check_inputs(points, nullptr, queries, options.log_weights);
  inputs.bandwidth = api::check_bandwidth(options.bandwidth, inputs.d());
  if (!(std::isfinite(options.tolerance) && options.tolerance > 0.0)) {
    fail(ErrorCode::invalid_argument, "tolerance", "a positive finite number", base::text(options.tolerance));
  }
  if (options.log && options.tolerance_kind == DensityTolerance::absolute) {
    fail(ErrorCode::invalid_argument, "tolerance_kind", "of_peak or relative for a logarithm", "absolute");
  }
  return inputs;
}

Options plain(const SmoothingInputs& inputs, const SmoothingCalls& calls) {
  // Without values the tolerance of the output only says that approximations are welcome.
  Options options = calls.options(inputs, inputs.bandwidth, {1.0});
  options.want_lse = true;
  return options;
}

/// At most the logarithm of the largest denominator anywhere, from a few points with a weight.
double peak_below(const SmoothingInputs& inputs, SmoothingCalls& calls) {
  std::vector<double> weights(usize(inputs.log_weights ? inputs.n() : 0));
  if (inputs.log_weights) {
    base::load_rows(base::head_rows(*inputs.log_weights, 0, 0), 0, inputs.n(), weights.data(), 1);
  }
  std::vector<std::int64_t> seen;
  for (std::int64_t j = 0; j < inputs.n(); ++j) {
    if (weights.empty() || weights[usize(j)] > -kInfinity) {
      seen.push_back(j);
    }
  }
  std::vector<std::int64_t> rows;
  const auto count = static_cast<std::int64_t>(seen.size());
  const std::int64_t few = std::min(kPeakPoints, count);
  for (std::int64_t i = 0; i < few; ++i) {
    rows.push_back(seen[usize(i * count / few)]);
  }
  Options options = plain(inputs, calls);
  const Result some = calls.attend_rows(inputs.points, inputs.points, api::no_values(inputs.points), rows, options);
  double peak = -kInfinity;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    peak = std::max(peak, some.lse->as<double>()[i] - some.lse_bound->as<double>()[i]);
  }
  return peak - kU64 * std::fabs(peak);
}

[[noreturn]] void out_of_range(const char* what) {
  fail(ErrorCode::not_reachable, std::string("tolerance: an absolute one cannot be asked for, ") + what +
                                     " beyond the range of float64; use a relative one, or the logarithm");
}

Goal goal_of(const SmoothingInputs& inputs, const DensityOptions& options, const Normaliser& normaliser,
             SmoothingCalls& calls) {
  Goal goal;
  const double least = 16.0 * kU64 + 2.0 * normaliser.bound;
  if (options.log || options.tolerance_kind == DensityTolerance::relative) {
    goal.tolerance = options.tolerance;
    if (options.tolerance * (1.0 - kReserve) <= least) {
      fail(ErrorCode::not_reachable, "tolerance: " + base::text(options.tolerance) +
                                         " is not reachable: the normaliser alone is known to " + base::text(least));
    }
    const double of_lse = options.log ? options.tolerance : std::log1p(options.tolerance);
    goal.of_lse = of_lse * (1.0 - kReserve) - std::min(least, 0.5 * of_lse);
    return goal;
  }
  // The planner is told the peak in any case.
  const double peak = peak_below(inputs, calls);
  const bool of_peak = options.tolerance_kind == DensityTolerance::of_peak;
  goal.absolute = true;
  goal.unit = std::exp(peak);
  goal.of_density = options.tolerance * (of_peak ? 1.0 : std::exp(normaliser.log - peak)) * (1.0 - kReserve);
  for (const double number : {goal.unit, *goal.of_density, *goal.of_density * goal.unit}) {
    if (!(number > 0x1p-1000 && number < kInfinity)) {
      out_of_range(of_peak ? "sums of weights are" : "the normaliser is");
    }
  }
  // At most what it is: 1e-12 is more than the difference of two logarithms below 1000 and exp are rounded by.
  goal.tolerance = of_peak ? options.tolerance * std::exp(peak - normaliser.log - normaliser.bound) * (1.0 - 1e-12)
                           : options.tolerance;
  return goal;
}

Options call_options(const SmoothingInputs& inputs, const SmoothingCalls& calls, const Goal& goal) {
  Options options = plain(inputs, calls);
  options.lse_tolerance = goal.of_lse;
  options.density_tolerance = goal.of_density;
  options.density_absolute = goal.absolute;
  options.density_unit = goal.unit;
  return options;
}

/// Rows whose bound, of what the goal is about, is beyond it.
struct Missed {
  std::int64_t rows = 0;
  double worst = 0.0;
};

/// Turns one log-sum-exp and its bound into a density and its bound, in place; returns what the goal is about.
double finish_row(const Normaliser& normaliser, const Goal& goal, bool log, double& density, double& bound) noexcept {
  const double exponent = density - normaliser.log;
  const double phi = inflate(bound + normaliser.bound + kU64 * std::fabs(exponent), 4);
  if (log) {
    density = exponent;
    bound = phi;
    return phi;
  }
  const double relative = inflate(std::expm1(inflate(phi + 5.0 * kU64, 2)), 8);
  density = std::exp(exponent);
  bound = std::isfinite(density) ? inflate(density * relative, 2) + 0x1p-1074 : kInfinity;
  return goal.absolute ? bound : relative;
}

Missed finish(const Normaliser& normaliser, const Goal& goal, bool log, std::int64_t m, double* density, double* bounds,
              int threads) {
  const std::int64_t blocks = base::blocks_of(m, kBlock);
  std::vector<Missed> missed(usize(blocks));
  base::parallel_for(base::Context{threads}, blocks, [&](std::int64_t block, int) {
    Missed& here = missed[usize(block)];
    for (std::int64_t i = block * kBlock; i < std::min(m, (block + 1) * kBlock); ++i) {
      const double asked = finish_row(normaliser, goal, log, density[i], bounds[i]);
      if (!(asked <= goal.tolerance)) {
        ++here.rows;
        here.worst = std::max(here.worst, asked);
      }
    }
  });
  Missed all;
  for (const Missed& here : missed) {
    all.rows += here.rows;
    all.worst = std::max(all.worst, here.worst);
  }
  return all;
}

DensityResult run(const SmoothingInputs& inputs, const DensityOptions& options) {
  const base::FloatEnvironment environment;
  const auto start = std::chrono::steady_clock::now();
  SmoothingCalls calls(api::resources_of(options), 1.0);
  const Normaliser normaliser = api::normaliser_of(inputs);
  const Goal goal = goal_of(inputs, options, normaliser, calls);
  const std::int64_t m = inputs.m();
  const Options call = call_options(inputs, calls, goal);
  DensityResult result;
  result.density = Tensor(DType::float64, {1, 1, m, 1});
  result.bounds = Tensor(DType::float64, {1, 1, m, 1});
  Tensor empty(output_dtype(inputs.queries, call), {1, 1, m, 0});
  Destinations out;
  out.output = empty.view();
  out.lse = result.density.view();
  out.lse_bound = result.bounds.view();
  result.report = calls.attend(out, inputs.queries, inputs.points, inputs.values, call, 1.0);
  auto* bounds = static_cast<double*>(result.bounds.data());
  const Missed missed =
      finish(normaliser, goal, options.log, m, static_cast<double*>(result.density.data()), bounds, calls.threads());
  if (missed.rows > 0) {
    fail(ErrorCode::not_reachable, "tolerance: " + base::text(goal.tolerance) + " is not reachable for " +
                                       std::to_string(missed.rows) + " of " + std::to_string(m) +
                                       " queries; the best proved bound there is " + base::text(missed.worst));
  }
  result.largest_bound = m == 0 ? 0.0 : *std::max_element(bounds, bounds + m);
  result.tolerance = goal.tolerance;
  result.log_normaliser = normaliser.log;
  result.peak_bytes = calls.peak();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace

DensityResult density(const ConstView& points, const ConstView& queries, const DensityOptions& options) {
  return run(check(points, queries, options), options);
}

DensityResult density(const ConstView& points, const DensityOptions& options) {
  return run(check(points, points, options), options);
}

PlanReport plan_density(const ConstView& points, const ConstView& queries, const DensityOptions& options) {
  const base::FloatEnvironment environment;
  const SmoothingInputs inputs = check(points, queries, options);
  SmoothingCalls calls(api::resources_of(options), 1.0);
  const Goal goal = goal_of(inputs, options, api::normaliser_of(inputs), calls);
  return calls.plan(inputs.queries, inputs.points, inputs.values, call_options(inputs, calls, goal));
}

}  // namespace polyattn
