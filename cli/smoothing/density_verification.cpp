#include "smoothing/density_verification.hpp"

#include "polyattn/attention.hpp"
#include "progress_bar.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numbers>

namespace polyattn::cli {

namespace {

/// log of n prod_l sqrt(2 pi) H_l, in long double, so that its rounding is of no account beside what is compared.
long double log_normaliser(std::int64_t points, std::int64_t dim, const std::vector<double>& bandwidth) {
  long double sum = std::log(static_cast<long double>(points)) +
                    0.5L * static_cast<long double>(dim) * std::log(2.0L * std::numbers::pi_v<long double>);
  for (std::int64_t l = 0; l < dim; ++l) {
    sum += std::log(static_cast<long double>(bandwidth[bandwidth.size() == 1 ? 0 : static_cast<std::size_t>(l)]));
  }
  return sum;
}

/// `own` is the part of what is allowed that the exact row itself may be off.
void compare(double got, long double expected, double bound, double own, std::int64_t row, VerifiedHead& head) {
  const double allowed = bound + own;
  const long double difference = std::abs(static_cast<long double>(got) - expected);
  const bool equal = static_cast<long double>(got) == expected;
  const double error = equal                    ? 0.0
                       : std::isnan(difference) ? std::numeric_limits<double>::infinity()
                                                : static_cast<double>(difference);
  if (!(error <= allowed)) ++head.outside;
  if (error > head.worst || head.worst_row < 0) {
    head.worst = error;
    head.worst_row = row;
    head.worst_column = 0;
    head.allowed = allowed;
    head.exact_bound = own;
  }
}

}  // namespace

Verification verify_density(const DensityResult& result, const ConstView& points, const ConstView& queries,
                            const std::vector<double>& bandwidth, bool log, const SmoothingRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t n = queries.shape[2];
  const std::vector<std::int64_t> chosen = draw_rows(n, request.verify_rows, request.seed);
  ProgressBar bar("verify");
  Options options;
  options.score = Gaussian{bandwidth};
  options.threads = request.means.threads;
  options.max_memory = request.means.max_memory;
  options.want_lse = true;
  options.progress = bar.callback();
  const ConstView none{nullptr, DType::float64, {1, 1, points.shape[2], 0}, {0, 0, 0, 1}};
  const Result truth = attend_rows(queries, {&points, 1}, {&none, 1}, chosen, options);

  VerifiedHead head;
  const long double normaliser = log_normaliser(points.shape[2], points.shape[3], bandwidth);
  const auto* lse = truth.lse.value().as<double>();
  const auto* lse_bounds = truth.lse_bound.value().as<double>();
  const auto* found = result.density.as<double>();
  const auto* bounds = result.bounds.as<double>();
  for (std::size_t k = 0; k < chosen.size(); ++k) {
    const std::int64_t row = chosen[k];
    const long double exact = static_cast<long double>(lse[k]) - normaliser;
    // Of the exact sum, and of a few operations in long double on it.
    const double relative =
        lse_bounds[k] + 0x1p-60 * (std::abs(lse[k]) + std::abs(static_cast<double>(normaliser)) + 4.0);
    const long double expected = log ? exact : std::exp(exact);
    const double own = log ? relative : static_cast<double>(expected) * std::expm1(relative);
    compare(found[row], expected, bounds[row], own, row, head);
  }
  Verification verification;
  verification.every_row = request.verify_rows >= n;
  verification.rows = std::min(request.verify_rows, n);
  verification.seed = request.seed;
  if (!verification.every_row) verification.unseen_share = unseen_share(request.verify_rows, 1);
  verification.worst = head.worst;
  verification.outside = head.outside;
  verification.heads.push_back(head);
  verification.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return verification;
}

}  // namespace polyattn::cli
