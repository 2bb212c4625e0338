#include "engines/polynomial/causal_join.hpp"

#include "numerics/rounding.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace polyattn::engines {

namespace {

using base::usize;
using numerics::kU64;

/// So many powers of two the exact part may be above the prefix before units change: all is finite either way.
constexpr double kAbove = 64.0;

/// 2^n of a whole number, 0 below 2^-kUnits; n is at most kAbove.
double power_of_two(double n) noexcept {
  const auto biased = static_cast<std::uint64_t>(static_cast<std::int64_t>(std::max(n, -kUnits)) + 1023);
  return n < -kUnits ? 0.0 : std::bit_cast<double>(biased << 52U);
}

/// Everything of row r that is linear in the prefix's weights. By a power of two: exact, but for what `lost` is given.
template <class R>
void scale_prefix(std::int64_t r, double factor, double dropped, RowBlock<R>& rows) noexcept {
  for (std::int64_t t = r; t < static_cast<std::int64_t>(rows.coefficients.size()) - rows.block; t += rows.block) {
    rows.coefficients[usize(t)] *= factor;
  }
  for (double* array : {rows.error, rows.uniform, rows.tiny, rows.denominator, rows.denominator_low,
                        rows.rounding_scale, rows.rounding_denominator, rows.moment_error, rows.slack, rows.lost}) {
    array[r] *= factor;
  }
  if (std::isfinite(rows.spread_error[r])) {
    rows.spread_error[r] *= factor;
  }
  rows.lost[r] += dropped;
}

}  // namespace

double dropped_mass(double keys, double radius) noexcept {
  return 4.0 * keys * std::exp(std::min(radius, 700.0)) * std::exp2(-kUnits);
}

template <class T, class R>
void join_exact_row(const DiagonalModel<T>& model, const DiagonalBound& bound, const DiagonalRows<T>& exact,
                    double exponent, bool empty, double dropped, std::int64_t r, RowBlock<R>& rows) noexcept {
  const double error = bound.denominator_error;
  // (e (A + r) + (1 + e) r), rounded up.
  const double outside =
      (error * (model.largest + bound.answer_error) + (1.0 + error) * bound.answer_error) * (1.0 + 1e-13);
  const double own = exact.exponent[usize(r)];
  const double sum = exact.sum[usize(r)];
  double unit = exponent;
  if (sum > 0.0 && (empty || own > exponent + kAbove)) {
    unit = own;
    if (!empty) {
      scale_prefix(r, power_of_two(exponent - own), dropped, rows);
    }
  }
  const double factor = sum > 0.0 ? power_of_two(own - unit) : 0.0;
  const double mass = factor * sum;
  if (sum > 0.0 && factor == 0.0) {
    rows.lost[r] += dropped;
  }
  // Where nothing is proved of the exact part, rows that have none keep what is proved of the prefix.
  const double mass_error = mass > 0.0 ? mass * error : 0.0;
  const double prefix_low = rows.denominator_low[r] > 0.0 ? rows.denominator_low[r] : 0.0;
  const double denominator = rows.denominator[r] + mass;
  rows.coefficients[rows.coefficients.size() - usize(rows.block) + usize(r)] =
      factor / static_cast<double>(model.value_factor);  // by powers of two
  rows.denominator[r] = denominator;
  rows.denominator_low[r] = (prefix_low + (mass - mass_error)) * (1.0 - 1e-14);
  rows.rounding_denominator[r] =
      (rows.rounding_denominator[r] + mass_error + 8.0 * kU64 * std::fabs(denominator)) * (1.0 + 1e-14);
  rows.tiny[r] = (rows.tiny[r] + (mass > 0.0 ? mass * outside : 0.0)) * (1.0 + 1e-14);
  rows.log_scale[r] = unit * std::numbers::ln2;
}

template <class T, class R>
void join_exact(const DiagonalModel<T>& model, const DiagonalBound& bound, const DiagonalRows<T>& exact,
                double exponent, bool empty, double dropped, RowBlock<R>& rows) noexcept {
  for (std::int64_t r = 0; r < rows.block; ++r) {
    join_exact_row(model, bound, exact, exponent, empty, dropped, r, rows);
  }
}

template void join_exact_row<float, float>(const DiagonalModel<float>&, const DiagonalBound&,
                                           const DiagonalRows<float>&, double, bool, double, std::int64_t,
                                           RowBlock<float>&) noexcept;
template void join_exact_row<float, double>(const DiagonalModel<float>&, const DiagonalBound&,
                                            const DiagonalRows<float>&, double, bool, double, std::int64_t,
                                            RowBlock<double>&) noexcept;
template void join_exact_row<double, double>(const DiagonalModel<double>&, const DiagonalBound&,
                                             const DiagonalRows<double>&, double, bool, double, std::int64_t,
                                             RowBlock<double>&) noexcept;
template void join_exact<float, float>(const DiagonalModel<float>&, const DiagonalBound&, const DiagonalRows<float>&,
                                       double, bool, double, RowBlock<float>&) noexcept;
template void join_exact<float, double>(const DiagonalModel<float>&, const DiagonalBound&, const DiagonalRows<float>&,
                                        double, bool, double, RowBlock<double>&) noexcept;
template void join_exact<double, double>(const DiagonalModel<double>&, const DiagonalBound&,
                                         const DiagonalRows<double>&, double, bool, double, RowBlock<double>&) noexcept;

}  // namespace polyattn::engines
