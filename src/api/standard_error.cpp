#include "api/standard_error.hpp"

#include "base/parallel.hpp"
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
constexpr std::int64_t kBlock = 1024;  // rows handed out at once; no bits depend on it

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

/// sqrt(sum w^2) / sum w of one row, and between what it lies.
struct Factor {
  double value = 0.0;
  double low = 0.0;
  double high = 0.0;
};

Factor factor_of(const Denominators& sums, std::int64_t i, double log_points) noexcept {
  const double away = std::max(0.0, log_points - sums.squared[i] + sums.squared_bound[i]);
  const double squared_bound = inflate(sums.squared_bound[i] + 9.0 * kU64 * away, 4);
  const double exponent = 0.5 * sums.squared[i] - sums.lse[i];
  const double phi = inflate(0.5 * squared_bound + sums.lse_bound[i] + kU64 * std::fabs(exponent), 6);
  const double value = std::exp(exponent);
  return {value, value * std::exp(-phi) * (1.0 - 16.0 * kU64), inflate(value * std::exp(phi), 16)};
}

/// Writes the standard errors of a row and returns their bound.
double row_errors(const std::vector<Deviation>& noise, const Factor& factor, double* errors) noexcept {
  double worst = 0.0;
  for (std::size_t c = 0; c < noise.size(); ++c) {
    errors[c] = noise[c].value * factor.value;
    const double above = inflate(noise[c].high * factor.high, 16) - errors[c];
    const double below = errors[c] - noise[c].low * factor.low * (1.0 - 16.0 * kU64);
    worst = std::max({worst, above, below});
  }
  return std::isfinite(factor.value) ? inflate(worst, 2) : kInfinity;
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
                     double* errors, double* bounds, int threads) {
  const std::vector<Deviation> noise = deviations(residuals);
  const double most = inflate(std::log(static_cast<double>(points)), 4);
  const std::int64_t blocks = base::blocks_of(rows, kBlock);
  base::parallel_for(base::Context{threads}, blocks, [&](std::int64_t block, int) {
    const std::int64_t end = std::min(rows, (block + 1) * kBlock);
    for (std::int64_t i = block * kBlock; i < end; ++i) {
      const Factor factor = factor_of(sums, i, most);
      bounds[i] = row_errors(noise, factor, errors + i * static_cast<std::int64_t>(noise.size()));
    }
  });
}

}  // namespace polyattn::api
