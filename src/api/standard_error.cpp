#include "api/standard_error.hpp"

#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace polyattn::api {

namespace {

using numerics::inflate;
using numerics::kU64;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Between what the standard deviation of the noise lies, one column.
struct Deviation {
  double value = 0.0;
  double low = 0.0;
  double high = 0.0;
};

std::vector<Deviation> deviations(const LeaveOneOut& residuals) {
  std::vector<Deviation> all;
  for (std::size_t c = 0; c < residuals.variance.size(); ++c) {
    const double variance = residuals.variance[c];
    const double bound = residuals.variance_bound[c];
    all.push_back({std::sqrt(variance), std::sqrt(std::max(0.0, variance - bound)), std::sqrt(variance + bound)});
  }
  return all;
}

}  // namespace

std::vector<double> squared_weights_bandwidth(const std::vector<double>& bandwidth) {
  std::vector<double> narrow = bandwidth;
  for (double& h : narrow) {
    h /= std::numbers::sqrt2;
  }
  return narrow;
}

double lse_tolerance_for(double relative) noexcept {
  // Half the bound of one and all of the other, and a little for what is added to them.
  return std::log1p(relative) / 1.5 * (1.0 - 0x1p-10);
}

void standard_errors(const LeaveOneOut& residuals, const Denominators& sums, std::int64_t points, std::int64_t rows,
                     double* errors, double* bounds) {
  const std::vector<Deviation> noise = deviations(residuals);
  const double most = inflate(std::log(static_cast<double>(points)), 4);
  for (std::int64_t i = 0; i < rows; ++i) {
    const double rounded_bandwidth = 9.0 * kU64 * std::max(0.0, most - sums.squared[i] + sums.squared_bound[i]);
    const double squared_bound = sums.squared_bound[i] + inflate(rounded_bandwidth, 4);
    const double exponent = 0.5 * sums.squared[i] - sums.lse[i];
    const double phi = inflate(0.5 * squared_bound + sums.lse_bound[i] + kU64 * std::fabs(exponent), 6);
    const double factor = std::exp(exponent);
    const double low = factor * std::exp(-phi) * (1.0 - 16.0 * kU64);
    const double high = inflate(factor * std::exp(phi), 16);
    double worst = 0.0;
    for (std::size_t c = 0; c < noise.size(); ++c) {
      const double error = noise[c].value * factor;
      const double above = inflate(noise[c].high * high, 16) - error;
      const double below = error - noise[c].low * low * (1.0 - 16.0 * kU64);
      worst = std::max({worst, above, below});
      *errors++ = error;
    }
    bounds[i] = std::isfinite(exponent) ? inflate(worst, 2) : kInfinity;
  }
}

}  // namespace polyattn::api
