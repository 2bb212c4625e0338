#include "engines/grid/row_math.hpp"

#include "engines/grid/row_bounds.hpp"
#include "engines/polynomial/row_outputs.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::engines::grid {

namespace {

using base::usize;
using numerics::kU64;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLn2 = 0.6931471805599453;

/// One column of a row: t is the answer less the column's centre.
struct ColumnCharge {
  double below;  ///< distance from the centre to the lowest value
  double above;  ///< and to the highest
  double low;    ///< charge at the lowest value, the centre, the highest
  double centre;
  double high;
  double mass;  ///< charge of the weights: the slope outside
};

/// The chord of the charge at t. Convex functions lie below their chords, and none is steeper than `mass`.
double charge_at(const ColumnCharge& column, double t) noexcept {
  const double span = t < 0.0 ? column.below : column.above;
  const double end = t < 0.0 ? column.low : column.high;
  const double way = std::fabs(t);
  if (way >= span) {
    return end + (way - span) * column.mass;
  }
  const double part = way / span;
  return (1.0 - part) * column.centre + part * end;
}

}  // namespace

void certify_batch(const RowRules& rules, const RowBatch& batch, double* out, std::int64_t width) noexcept {
  const auto columns = static_cast<std::int64_t>(rules.knots.centre.size());
  const double zeta = rules.range * score_movement(rules.perturbation);
  for (std::int64_t i = 0; i < batch.count; ++i) {
    double* row = out + i * width;
    const auto own = [&](std::int64_t c) {
      return batch.own == nullptr ? 0.0 : std::fabs(batch.own[c * batch.ld + i]);
    };
    const double denominator = batch.sums[i];
    const double mass = batch.charges[i] + rules.outside + kLostMass;
    const double rounding =
        rules.rounding * (batch.reach[0] + own(0)) + (own(0) > 0.0 ? kU64 * std::fabs(denominator) : 0.0) + kLostMass;
    const double low = (denominator - (rounding + mass) * (1.0 + 1e-12)) * (1.0 - 1e-12);
    if (!(low > 0.0)) {
      row[columns] = kInfinity;
      row[columns + 1] = kInfinity;
      continue;
    }
    double approximation = 0.0;
    double computing = 0.0;
    double largest = 0.0;
    for (std::int64_t c = 0; c < columns; ++c) {
      const double sum = batch.sums[(1 + c) * batch.ld + i];
      const double t = sum / denominator;
      const double* charges = batch.charges + (1 + 3 * c) * batch.ld + i;
      const double centre = rules.knots.centre[usize(c)];
      const ColumnCharge column{centre - rules.knots.low[usize(c)],
                                rules.knots.high[usize(c)] - centre,
                                charges[0],
                                charges[batch.ld],
                                charges[2 * batch.ld],
                                mass};
      const double distance = std::max(column.below, column.above) + std::fabs(t);
      const double charge = charge_at(column, t) + (rules.outside + 2.0 * kLostMass) * distance;
      const double off = rules.rounding * (batch.reach[1 + c] + own(1 + c)) +
                         (own(0) > 0.0 ? kU64 * std::fabs(sum) : 0.0) + kLostMass * distance;
      approximation = std::max(approximation, charge / low);
      computing = std::max(computing, (off + std::fabs(t) * rounding) / low);
      row[c] = std::clamp(centre + t, rules.knots.low[usize(c)], rules.knots.high[usize(c)]);
      largest = std::max(largest, std::fabs(row[c]));
    }
    row[columns] = approximation * (1.0 + 1e-12);
    row[columns + 1] =
        (computing + zeta + answer_rounding({rules.range, rules.largest_value}, largest)) * (1.0 + 1e-12);
    if (rules.wants_lse) {
      const double log_denominator = std::log(denominator);
      row[columns + 2] = log_denominator + batch.exponent * kLn2;
      row[columns + 3] = (rounding + mass) / low + rules.perturbation +
                         6.0 * kU64 * (std::fabs(log_denominator) + std::fabs(batch.exponent));
    }
  }
}

LogSumExp finish_log_sum_exp(const Geometry& geometry, const LogSumExp& row, const double* query) noexcept {
  LogSumExp out = row;
  double terms = 0.0;
  for (std::size_t l = 0; l < geometry.query_linear.size(); ++l) {
    const double y = query[l] - geometry.query_centre[l];
    const double linear = geometry.query_linear[l] * query[l];
    const double square = geometry.query_square[l] * y * y;
    out.value += linear + square;
    terms += std::fabs(linear) + std::fabs(square);
  }
  out.value += geometry.query_constant;
  terms += std::fabs(geometry.query_constant) + std::fabs(out.value);
  out.bound =
      (out.bound + (static_cast<double>(2 * geometry.query_linear.size()) + 8.0) * kU64 * terms) * (1.0 + 1e-13);
  return out;
}

}  // namespace polyattn::engines::grid
