#include "api/merge_row.hpp"

#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::api {

namespace {

using numerics::inflate;
using numerics::kU64;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kTiny = 0x1p-1060;      // more than underflow takes from any term
constexpr double kLibrary = 5.0 * kU64;  // exp and log are taken to be right to two units in the last place

/// Sums over the weights of one row, section 2.
struct Weights {
  double largest = -kInfinity;  ///< m
  double total = 0.0;           ///< E, as computed
  double least_total = 0.0;     ///< at most the true E; nothing is known if not positive
  double lse_error = 0.0;       ///< of m + log(total)
};

Weights weigh(std::span<Share> shares) noexcept {
  const auto count = static_cast<std::int64_t>(shares.size());
  Weights all;
  for (const Share& share : shares) {
    all.largest = std::max(all.largest, share.lse);
  }
  double farthest = 0.0;   // max_p k_p
  double change = 0.0;     // sum_p g_p
  double shortfall = 0.0;  // sum_p (computed weight - e_p), where positive
  for (Share& share : shares) {
    const double delta = std::max(share.lse - all.largest, std::numeric_limits<double>::lowest());
    const double k = inflate(share.lse_bound + kU64 * -delta, 3);
    const double gap = -std::expm1(-k);
    share.weight = std::exp(delta);
    const double of_exp = (delta == 0.0 ? 0.0 : kLibrary * share.weight) + kTiny;
    share.change = inflate(std::exp(numerics::round_up(delta + k)) * gap, 32) + of_exp;
    all.total += share.weight;
    change += share.change;
    shortfall += inflate(share.weight * gap, 32) + of_exp;
    farthest = std::max(farthest, k);
  }
  const double of_sum = count == 1 ? 0.0 : numerics::gamma(count, kU64);
  all.least_total = (all.total * (1.0 - of_sum - 4.0 * kU64) - inflate(shortfall, count + 4)) * (1.0 - 4.0 * kU64);
  const double above = inflate(change / all.total, 2 * count + 16);
  const double below = inflate(shortfall / all.total, 2 * count + 16);
  const double on_average = std::max(std::log1p(above), below < 1.0 ? -std::log1p(-below) : kInfinity);
  const double at_most = farthest + (count == 1 ? 0.0 : kLibrary + kTiny);
  all.lse_error = std::min(inflate(on_average, 16), at_most) + of_sum;
  return all;
}

/// sum_p (weight_p / total) T_p in the hull of the T_p. `low` and `high` are scratch memory.
void average(std::span<const Share> shares, double total, const double* values, std::int64_t columns, double* merged,
             double* low, double* high) noexcept {
  std::fill_n(merged, columns, 0.0);
  std::fill_n(low, columns, kInfinity);
  std::fill_n(high, columns, -kInfinity);
  for (const Share& share : shares) {
    const double weight = share.weight / total;
    for (std::int64_t c = 0; c < columns; ++c) {
      merged[c] += weight * values[c];
      low[c] = std::min(low[c], values[c]);
      high[c] = std::max(high[c], values[c]);
    }
    values += columns;
  }
  for (std::int64_t c = 0; c < columns; ++c) {
    merged[c] = merged[c] < low[c] ? low[c] : merged[c];  // a NaN stays one
    merged[c] = merged[c] > high[c] ? high[c] : merged[c];
  }
}

/// max_c |merged - T| whatever `merged` is, section 3.
double distance_bound(std::span<const Share> shares, double least_total, const double* values, std::int64_t columns,
                      const double* merged, double* scratch) noexcept {
  const auto count = static_cast<std::int64_t>(shares.size());
  const double gamma = numerics::gamma(count + 3, kU64);
  double* residual = scratch;            // sum_p weight_p (T_p - merged)
  double* rest = scratch + columns;      // what else stands in the numerator
  double* hull = scratch + 2 * columns;  // the bound that holds for any weights
  std::fill_n(scratch, kMergeScratch * columns, 0.0);
  for (const Share& share : shares) {
    for (std::int64_t c = 0; c < columns; ++c) {
      const double distance = values[c] - merged[c];
      const double size = inflate(std::fabs(distance), 1);
      const double stored = inflate(share.storage.relative * std::fabs(values[c]) + share.storage.absolute, 2);
      const double b = stored > 0.0 ? inflate(share.bound + stored, 1) : share.bound;
      residual[c] += share.weight * distance;
      rest[c] += (gamma * share.weight + share.change) * size + (share.weight + share.change) * b;
      hull[c] = std::max(hull[c], size > 0.0 ? inflate(size + b, 1) : b);
    }
    values += columns;
  }
  double worst = 0.0;
  const double underflow = kTiny * static_cast<double>(count);
  for (std::int64_t c = 0; c < columns; ++c) {
    if (!std::isfinite(merged[c])) {
      return kInfinity;
    }
    const double weighted = inflate((std::fabs(residual[c]) + rest[c] + underflow) / least_total, count + 10);
    worst = std::max(worst, least_total > 0.0 && weighted < hull[c] ? weighted : hull[c]);
  }
  return worst;
}

}  // namespace

StorageError storage_error(DType type) noexcept {
  switch (type) {
    case DType::float16:
      return {0x1p-11, 0x1p-25};
    case DType::bfloat16:
      return {0x1p-8, 0x1p-134};
    case DType::float32:
    case DType::float64:
      break;
  }
  return {};
}

RowBounds merge_row(std::span<Share> shares, const double* values, std::int64_t columns, bool to_float32,
                    double* merged, double* scratch) noexcept {
  const Weights weights = weigh(shares);
  const double log_total = std::log(weights.total);
  RowBounds row;
  row.lse = weights.largest + log_total;
  // The last addition is off by half a unit of its result, and never by more than the smaller summand.
  const double last = kLibrary * log_total + std::min(kU64 * std::fabs(row.lse), log_total);
  row.lse_bound = inflate(weights.lse_error + last, 4);
  average(shares, weights.total, values, columns, merged, scratch, scratch + columns);
  if (to_float32) {
    std::transform(merged, merged + columns, merged,
                   [](double t) { return static_cast<double>(static_cast<float>(t)); });
  }
  row.row_bound = distance_bound(shares, weights.least_total, values, columns, merged, scratch);
  return row;
}

}  // namespace polyattn::api
