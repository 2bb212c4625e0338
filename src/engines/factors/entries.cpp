#include "engines/factors/entries.hpp"

#include "base/checked.hpp"
#include "numerics/rank.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::engines {

namespace {

using base::usize;
using numerics::inflate;
using numerics::kU32;
using numerics::kU64;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// What underflow is measured against: the spacing of subnormal numbers, the largest exp(row), 1/exp(row), …, and the
/// range of the dtype.
struct Range {
  double spacing;
  double largest_exponential;
  double largest;
};
Range range_of(DType dtype) noexcept {
  return dtype == DType::float32 ? Range{0x1p-149, 0x1p+40, 0x1p+126} : Range{0x1p-1074, 0x1p+400, 0x1p+1000};
}

/// y/R as the factors have it, 0 on axes beyond the active ones.
void query_point(const FactorFrame& frame, double radius, std::int64_t row, std::vector<double>& point) noexcept {
  for (std::int64_t l = 0; l < frame.active; ++l) {
    point[usize(l)] = frame.sides[0].coordinates[usize(row * frame.active + l)] / radius;
  }
}

/// out[f] = factor * weights[f] * point^alpha(f), or without weights.
void monomial_row(const numerics::Monomials& list, const double* point, double factor, const double* weights,
                  std::vector<double>& levels, std::vector<std::ptrdiff_t>& next, double* out) noexcept {
  std::copy(list.offsets.begin(), list.offsets.end() - 1, next.begin());
  levels[0] = 1.0;
  out[0] = factor * (weights != nullptr ? weights[0] : 1.0);
  for (const numerics::MonomialStep& step : list.steps) {
    const std::size_t t = step.degree;
    levels[t] = levels[t - 1] * point[step.variable];
    const auto f = static_cast<std::size_t>(next[t]++);
    out[f] = factor * (weights != nullptr ? weights[f] * levels[t] : levels[t]);
  }
}

/// exp(exponent + shift), the exponent 0 where a side has none.
double row_factor(const FactorSide& side, std::int64_t row, double shift) noexcept {
  const double exponent = side.exponent.size() == 0 ? 0.0 : side.exponent[usize(row)];
  return std::exp(exponent + shift);
}

/// Calls row(i, out) for each row and stores it.
template <class Row>
void store_rows(const numerics::Monomials& list, std::int64_t first, std::int64_t count, const base::RowSink& sink,
                const Row& row) {
  std::vector<double> out(usize(list.rank()));
  std::vector<double> levels(usize(list.degree) + 1);
  std::vector<std::ptrdiff_t> next(usize(list.degree) + 1);
  std::vector<double> point(usize(list.dim), 0.0);
  for (std::int64_t i = first; i < first + count; ++i) {
    row(i, point, levels, next, out.data());
    base::store_row(sink, i, out.data(), list.rank());
  }
}

}  // namespace

double most_exponent(DType dtype) noexcept { return dtype == DType::float32 ? 27.0 : 277.0; }

FactorBound factor_bound(const FactorFrame& frame, const numerics::RelativePolynomial& polynomial, std::int64_t axes,
                         DType dtype) noexcept {
  const int g = polynomial.degree;
  const std::int64_t features = numerics::feature_rank(axes, g);
  // Factors of more columns than that are refused for want of memory, not of accuracy.
  const std::int64_t rank = features < 0 ? std::numeric_limits<std::int64_t>::max() : features;
  const FactorBound unknown{kInfinity, kInfinity, kInfinity, kInfinity};
  const Range range = range_of(dtype);
  const double largest_exp = std::exp(polynomial.radius) * (1.0 + 0x1p-48);  // of 1 / exp(s' - middle)
  // S >= the number of monomials and the sum of |C_t (t!/alpha!)|, each times what coordinates beyond 1 make of it.
  double coefficient = 0.0;
  for (int t = 0; t <= g; ++t) {
    coefficient = std::max(coefficient, std::fabs(polynomial.coefficients[usize(t)]) * std::pow(double(axes), t));
  }
  const auto sides = static_cast<int>(frame.sides.size());
  const double beyond = std::max(1.0, 1.01 * std::ldexp(frame.absolute, sides - 1) / polynomial.radius);
  const double size = 1.01 * (g + 1.0) * (static_cast<double>(rank) + coefficient) * std::pow(beyond, g);
  if (!(size * range.largest_exponential < range.largest)) {
    return unknown;
  }
  const double underflow = 4.0 * sides * (g + 2.0) * size * (range.spacing * range.largest_exponential) * largest_exp;

  double relative = numerics::gamma(frame.roundings * g + 4, kU64);
  for (int side = 0; dtype == DType::float32 && side < sides; ++side) {
    relative = inflate(relative + (1.0 + relative) * kU32, 3);
  }
  const double absolute_sum = polynomial.absolute_sum(frame.absolute);
  const double entries = inflate(relative * absolute_sum * largest_exp + underflow, 8);
  // exp twice, and its arguments' sums with the middle and the shift.
  const Balance balanced = balance(frame, polynomial.middle);
  const double argument = frame.exponent_error + 8.0 * kU64 * (std::fabs(balanced.shift) + balanced.largest + 1.0) +
                          4.0 * kU64 * std::fabs(polynomial.middle) + 9.0 * kU64;
  const double exponent = std::expm1(argument) * (1.0 + 0x1p-40);
  FactorBound bound;
  bound.approximation = polynomial.error;
  bound.rounding = inflate(entries + exponent * (1.0 + polynomial.error + entries), 8);
  bound.majorant = inflate((1.0 + exponent) * ((1.0 + relative) * absolute_sum * largest_exp + underflow), 12);
  bound.dot_product = inflate(numerics::gamma(static_cast<double>(rank) + sides - 2, kU64) * bound.majorant +
                                  (sides - 1.0) * static_cast<double>(rank) * 0x1p-1072 * 0x1p+800 * largest_exp,
                              10);
  const bool meaningful = std::isfinite(bound.total()) && std::isfinite(bound.majorant);
  return meaningful ? bound : unknown;
}

LeastDegree least_degree(const FactorFrame& frame, double tolerance, std::int64_t axes, DType dtype) {
  LeastDegree best{false, 0, kInfinity};
  if (!(frame.radius() <= numerics::kMaxRelativeRadius)) {
    return best;
  }
  for (int g = 0; g <= numerics::kMaxRelativeDegree; ++g) {
    const numerics::RelativePolynomial polynomial = numerics::relative_polynomial(frame.low, frame.high, g);
    const FactorBound bound = factor_bound(frame, polynomial, axes, dtype);
    if (bound.total() < best.bound) {
      best = {false, g, bound.total()};
    }
    if (bound.total() <= tolerance) {
      best.found = true;
      return best;
    }
  }
  return best;
}

std::vector<double> factor_weights(const numerics::RelativePolynomial& polynomial, const numerics::Monomials& list) {
  std::vector<double> weights(usize(list.rank()));
  const std::vector<double> ones(usize(list.dim), 1.0);
  numerics::multinomial_weights(list, ones.data(), weights.data());
  for (std::size_t t = 0; t + 1 < list.offsets.size(); ++t) {
    for (std::ptrdiff_t f = list.offsets[t]; f < list.offsets[t + 1]; ++f) {
      weights[usize(f)] *= polynomial.coefficients[t];
    }
  }
  return weights;
}

void store_query_factor(const FactorFrame& frame, const numerics::RelativePolynomial& polynomial,
                        const numerics::Monomials& list, const std::vector<double>& weights, std::int64_t offset,
                        std::int64_t first, std::int64_t count, const base::RowSink& sink) {
  const double shift = balance(frame, polynomial.middle).shift + polynomial.middle;
  store_rows(list, first, count, sink, [&](std::int64_t i, auto& point, auto& levels, auto& next, double* out) {
    query_point(frame, polynomial.radius, offset + i, point);
    const double factor = row_factor(frame.sides[0], offset + i, shift);
    monomial_row(list, point.data(), factor, weights.data(), levels, next, out);
  });
}

void store_key_factor(const FactorFrame& frame, std::size_t side, const numerics::RelativePolynomial& polynomial,
                      const numerics::Monomials& list, std::int64_t first, std::int64_t count,
                      const base::RowSink& sink) {
  const FactorSide& keys = frame.sides[side];
  const double shift = side == 1 ? balance(frame, polynomial.middle).shift : 0.0;
  store_rows(list, first, count, sink, [&](std::int64_t j, auto& point, auto& levels, auto& next, double* out) {
    std::copy_n(keys.coordinates.data() + j * frame.active, frame.active, point.begin());
    monomial_row(list, point.data(), row_factor(keys, j, -shift), nullptr, levels, next, out);
  });
}

}  // namespace polyattn::engines
