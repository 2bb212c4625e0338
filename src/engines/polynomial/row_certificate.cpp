#include "engines/polynomial/row_certificate.hpp"

#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::engines {

RowCertificate certify_row(const Frame& frame, const KeySideBounds& keys, const RoundingModel& rounding,
                           const PolynomialTable& table, std::int64_t rank, double key_count, const RowRadius& radius,
                           double far, const double* sums, std::ptrdiff_t stride) noexcept {
  RowCertificate out;
  if (!(radius.radius <= table.radii.front())) {
    return out;  // beyond every polynomial of the table: refused
  }
  const auto& entries = table.entries[table.row_class(radius.radius)];
  const double weight = keys.weight_high;
  // 1. The polynomial: smallest product of error and what it is multiplied with (range, or deviation for the uniform
  // one, if it takes part).
  double best = std::numeric_limits<double>::infinity();
  double power = 1.0;  // a^(2q)
  for (const TableEntry& entry : entries) {
    const std::ptrdiff_t t = 2 * static_cast<std::ptrdiff_t>(entry.q);
    // sum_j w_j s_ij^(2q), rounded up; at q = 0 it is W itself.
    const double moment =
        entry.q == 0 ? weight
                     : std::min(std::max(sums[t * stride], 0.0) + rounding.gamma * power * weight, power * weight);
    const double error = entry.moment_error * moment + entry.slack * weight;
    const double uniform = entry.uniform * weight;
    double score = error * keys.range;
    if (std::isfinite(keys.largest_deviation)) {
      score = std::min(score, uniform * keys.largest_deviation);
    }
    if (score < best || out.polynomial == nullptr) {
      best = score;
      out.polynomial = &entry;
      out.error = std::min(error, uniform) * (1.0 + 1e-13);
      out.uniform = uniform * (1.0 + 1e-13);
      out.moment_scale = rounding.gamma * power * (1.0 + 1e-13);
    }
    power *= radius.box * radius.box * (1.0 + 1e-15);
  }
  if (out.polynomial == nullptr) {
    return out;
  }
  // 2. The denominator, P_abs(a) and the underflow term.
  double absolute = 0.0;
  double tiny = 0.0;
  double z_power = 1.0;
  double a_power = 1.0;
  const double degree = table.degree;
  for (std::size_t t = 0; t < out.polynomial->coefficients.size(); ++t) {
    const double c = out.polynomial->coefficients[t];
    out.denominator += c * sums[static_cast<std::ptrdiff_t>(t) * stride];
    absolute += std::fabs(c) * a_power;
    tiny += std::fabs(c) *
            (z_power * (2.0 * degree * std::max(keys.largest_absolute, weight) + (degree + 2.0) * key_count) +
             3.0 * static_cast<double>(rank));
    a_power *= radius.box;
    z_power *= keys.z_sum;
  }
  // Underflow of one sum, as in `tiny` for a coefficient of 1; gamma is more than the few roundings of the chord.
  const double lost_moment = std::pow(keys.z_sum, 2 * out.polynomial->q) *
                                 (2.0 * degree * std::max(keys.largest_absolute, weight) + (degree + 2.0) * key_count) +
                             3.0 * static_cast<double>(rank);
  out.moment_loss = 2.0 * out.moment_scale * weight + lost_moment * rounding.smallest * (1.0 + 1e-12);
  absolute *= 1.0 + 1e-13;
  out.tiny = tiny * rounding.smallest * (1.0 + 1e-13);
  out.rounding_scale = rounding.gamma * absolute;
  out.rounding_denominator = (out.rounding_scale * weight + out.tiny) * (1.0 + 1e-13);
  // 3. The true denominator is at least what was computed less all errors, and at least W exp(mean score) (Jensen).
  const double computed = out.denominator - out.rounding_denominator - out.error;
  double jensen = 0.0;
  if (keys.weight_low > 0.0) {
    const double first = table.degree >= 1 ? sums[stride] : 0.0;
    const double slack = table.degree >= 1 ? rounding.gamma * radius.box * weight + out.tiny : radius.box * weight;
    const double sum = first - slack;
    const double mean = sum >= 0.0 ? sum / weight : sum / keys.weight_low;
    jensen = keys.weight_low * std::exp(mean - 1e-14) * (1.0 - 1e-14);
  }
  out.denominator_low = std::max(computed * (1.0 - 1e-14), jensen);
  // 4. Rounded coordinates and weights move scores and log weights; weights that underflow are an error of their own.
  const double lost = key_count * rounding.lost * std::exp(std::min(radius.radius, 700.0));
  out.perturbation = rounding.score * radius.box + rounding.weight + frame.weight_error;
  out.lost = lost * (1.0 + 1e-13);
  out.far = far == 0.0
                ? 0.0
                : far * std::exp(2.0 * out.perturbation);  // true mass against a bound of a perturbed denominator
  return out;
}

}  // namespace polyattn::engines
