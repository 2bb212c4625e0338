#include "lab/exponential/chebyshev_degree.hpp"

#include "lab/exponential/balls.hpp"
#include "polyattn/error.hpp"

#include <arb_hypgeom.h>

#include <cmath>
#include <limits>
#include <string>

namespace polyattn::lab {

namespace {

constexpr slong kPrecision = 96;
constexpr double kMostRadius = 1e4;
constexpr int kMostDegree = 100'000;
/// A tail this much smaller than the sum is bounded by a geometric series at once.
constexpr double kNegligible = 0x1p-40;

void check(double radius, int degree) {
  if (!(radius >= 0.0 && radius <= kMostRadius)) {
    throw Error(ErrorCode::invalid_argument, "radius: expected 0 to 1e4, got " + std::to_string(radius));
  }
  if (degree < 0 || degree > kMostDegree) {
    throw Error(ErrorCode::invalid_argument, "degree: expected 0 to 100000, got " + std::to_string(degree));
  }
}

/// I_k(R).
void bessel(Ball& result, int k, const Ball& radius) {
  Ball order;
  arb_set_si(order.get(), k);
  arb_hypgeom_bessel_i(result.get(), order.get(), radius.get(), kPrecision);
}

/// ln delta_g(R) rounded up; or, as soon as it is known to exceed `enough`, some number above that.
double log_error(double radius, int degree, double enough) {
  check(radius, degree);
  if (radius == 0.0) return -std::numeric_limits<double>::infinity();
  Ball r;
  Ball sum;
  Ball term;
  Ball logarithm;
  arb_set_d(r.get(), radius);
  for (int k = degree + 1;; ++k) {
    bessel(term, k, r);
    arb_mul_2exp_si(term.get(), term.get(), 1);
    arb_add(sum.get(), sum.get(), term.get(), kPrecision);
    arb_log(logarithm.get(), sum.get(), kPrecision);
    if (lower_double(logarithm.get()) > enough) return upper_double(logarithm.get());
    // All later terms together are at most term * x / (1 - x), x = R / (2k + 2).
    const double x = radius / (2.0 * k + 2.0);
    if (x > 0.5) continue;
    Ball share;
    arb_div(share.get(), term.get(), sum.get(), kPrecision);
    if (upper_double(share.get()) > kNegligible) continue;
    arb_add(sum.get(), sum.get(), term.get(), kPrecision);  // x / (1 - x) <= 1
    arb_log(logarithm.get(), sum.get(), kPrecision);
    return upper_double(logarithm.get());
  }
}

}  // namespace

double log_chebyshev_error(double radius, int degree) {
  return log_error(radius, degree, std::numeric_limits<double>::infinity());
}

int least_degree(double radius, double log_tolerance, bool relative, int highest) {
  const double allowed = relative ? log_tolerance - radius : log_tolerance;
  const auto does = [&](int degree) { return log_error(radius, degree, allowed) <= allowed; };
  if (does(0)) return 0;
  // Invariant: `low` does not, `high` does. The error falls with the degree.
  int low = 0;
  int high = 1;
  while (high < highest && !does(high)) {
    low = high;
    high = high > highest / 2 ? highest : 2 * high;
  }
  if (high >= highest && !does(highest)) return -1;
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    (does(middle) ? high : low) = middle;
  }
  return high;
}

double largest_radius(int degree, double log_tolerance, bool relative, double most) {
  const auto does = [&](double radius) {
    const double allowed = relative ? log_tolerance - radius : log_tolerance;
    return log_error(radius, degree, allowed) <= allowed;
  };
  constexpr double smallest = 1e-7;
  if (!does(smallest)) return 0.0;
  if (does(most)) return most;
  double low = smallest;
  double high = most;
  while (high > low * (1.0 + smallest)) {
    const double middle = std::sqrt(low * high);
    (does(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace polyattn::lab
