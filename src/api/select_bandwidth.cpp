// Choosing a bandwidth by leave-one-out cross-validation.

#include "api/bandwidth_trials.hpp"
#include "api/leave_one_out.hpp"
#include "base/checked.hpp"
#include "base/error.hpp"
#include "base/float_environment.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>

namespace polyattn {

namespace {

using api::SmoothingCalls;
using api::SmoothingInputs;
using base::fail;
using numerics::inflate;
using numerics::kU64;

constexpr int kFactors = 30;
constexpr double kLeastFactor = 0.05;
constexpr double kMostFactor = 2.0;

std::vector<double> factors_of(const BandwidthOptions& options) {
  std::vector<double> factors = options.factors;
  for (int k = 0; options.factors.empty() && k < kFactors; ++k) {
    factors.push_back(kLeastFactor * std::pow(kMostFactor / kLeastFactor, static_cast<double>(k) / (kFactors - 1)));
  }
  for (const double factor : factors) {
    if (!(std::isfinite(factor) && factor > 0.0)) {
      fail(ErrorCode::invalid_argument, "factors", "positive finite numbers", base::text(factor));
    }
  }
  return factors;
}

void check_options(const BandwidthOptions& options) {
  if (!(options.finest_step > 1.0 && std::isfinite(options.finest_step))) {
    fail(ErrorCode::invalid_argument, "finest_step", "a finite number above 1", base::text(options.finest_step));
  }
  if (options.most_candidates < 1) {
    fail(ErrorCode::invalid_argument, "most_candidates", "at least 1", std::to_string(options.most_candidates));
  }
  if (!(options.least_weight >= api::kLeastWeight && std::isfinite(options.least_weight))) {
    fail(ErrorCode::invalid_argument, "least_weight", "a finite number of at least 2^-1022",
         base::text(options.least_weight));
  }
  if (!(options.least_scored >= 0.0 && options.least_scored <= 1.0)) {
    fail(ErrorCode::invalid_argument, "least_scored", "a number from 0 to 1", base::text(options.least_scored));
  }
}

SmoothingInputs check(const ConstView& points, const ConstView& values, const BandwidthOptions& options) {
  SmoothingInputs inputs = api::check_inputs(points, &values, points, std::nullopt);
  api::require_two_points(points, "to leave one out");
  check_options(options);
  return inputs;
}

BandwidthScore evaluate(SmoothingCalls& calls, const SmoothingInputs& inputs, const BandwidthOptions& options,
                        const std::vector<double>& bandwidth) {
  api::LeftOut left = api::leave_one_out(calls, inputs, bandwidth, options.tolerance, options.least_weight, 1.0);
  BandwidthScore score;
  score.residuals = std::move(left.residuals);
  score.report = left.report.heads.front();
  double bounds = 0.0;
  for (std::size_t c = 0; c < score.residuals.variance.size(); ++c) {
    score.error += score.residuals.variance[c];
    bounds += score.residuals.variance_bound[c];
  }
  const double rounding = numerics::gamma(inputs.columns(), kU64) * score.error;
  score.error_bound = inflate(bounds + rounding, inputs.columns() + 4);
  return score;
}

/// Runs a search that `explore` steers, over at most `candidates`.
template <class Explore>
BandwidthResult search(const SmoothingInputs& inputs, const BandwidthOptions& options, std::size_t candidates,
                       const Explore& explore) {
  const base::FloatEnvironment environment;
  const auto start = std::chrono::steady_clock::now();
  SmoothingCalls calls(api::resources_of(options), static_cast<double>(candidates));
  const auto enough = static_cast<std::int64_t>(std::ceil(options.least_scored * static_cast<double>(inputs.n())));
  api::BandwidthTrials tried(
      [&](const std::vector<double>& bandwidth) { return evaluate(calls, inputs, options, bandwidth); }, enough);
  explore(tried);
  BandwidthResult result;
  result.best = tried.best();
  result.certain = tried.certain();
  result.scores = tried.scores();
  result.bandwidth = result.scores[result.best].bandwidth;
  if (result.scores[result.best].residuals.scored == 0) {
    fail(ErrorCode::invalid_argument, "bandwidth", "a candidate at which a point sees another",
         std::to_string(result.scores.size()) + " at which none does");
  }
  result.peak_bytes = calls.peak();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace

BandwidthResult select_bandwidth(const ConstView& points, const ConstView& values, const BandwidthOptions& options) {
  const SmoothingInputs inputs = check(points, values, options);
  const std::vector<double> scott = scott_bandwidth(points);
  const std::vector<double> factors = factors_of(options);
  const bool per_axis = options.search == BandwidthSearch::per_axis && inputs.d() > 1;
  const auto most = std::max(factors.size(), static_cast<std::size_t>(options.most_candidates));
  BandwidthResult result = search(inputs, options, per_axis ? most : factors.size(), [&](api::BandwidthTrials& tried) {
    for (const double factor : factors) {
      std::vector<double> bandwidth = scott;
      for (double& h : bandwidth) {
        h *= factor;
      }
      tried.attempt(api::check_bandwidth(bandwidth, inputs.d()), factor);
    }
    if (per_axis) {
      tried.descend(options.finest_step, most);
    }
  });
  result.scott = scott;
  return result;
}

BandwidthResult select_bandwidth(const ConstView& points, const ConstView& values,
                                 std::span<const std::vector<double>> candidates, const BandwidthOptions& options) {
  const SmoothingInputs inputs = check(points, values, options);
  if (candidates.empty()) {
    fail(ErrorCode::invalid_argument, "candidates", "at least one", "none");
  }
  std::vector<std::vector<double>> each;
  for (const std::vector<double>& candidate : candidates) {
    each.push_back(api::check_bandwidth(candidate, inputs.d()));
  }
  return search(inputs, options, each.size(), [&](api::BandwidthTrials& tried) {
    for (const std::vector<double>& bandwidth : each) {
      tried.attempt(bandwidth, std::numeric_limits<double>::quiet_NaN());
    }
  });
}

}  // namespace polyattn
