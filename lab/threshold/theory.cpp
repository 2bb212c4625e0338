#include "lab/threshold/theory.hpp"

#include "lab/exponential/balls.hpp"
#include "lab/exponential/chebyshev_degree.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace polyattn::lab {

namespace {

/// With few dimensions ranks grow so slowly that degrees beyond every use would do.
constexpr int kMostDegree = 20'000;

/// ceil(C log2 n), at least 1: C log2 n is often meant to be whole, and the product rounds.
double rounded_up(double product) { return std::max(1.0, std::ceil(product * (1.0 - 0x1p-50))); }

}  // namespace

std::int64_t dimensions(double per_log, std::int64_t n) {
  return static_cast<std::int64_t>(rounded_up(per_log * std::log2(static_cast<double>(n))));
}

double tolerance_of(double accuracy, std::int64_t n) { return std::pow(static_cast<double>(n), -accuracy); }

double score_bound(double entries, int order) { return std::pow(entries, order); }

double optimal_degree(double length, double tolerance) {
  const double digits = -std::log(tolerance);
  return std::max(length, digits / std::log(std::max(std::numbers::e, digits / length)));
}

std::string binomial_text(std::int64_t n, std::int64_t k) {
  Integer value;
  fmpz_bin_uiui(value.get(), static_cast<ulong>(n), static_cast<ulong>(k));
  return text_of(value.get());
}

double log_binomial(double n, double k) {
  return std::lgamma(n + 1.0) - std::lgamma(k + 1.0) - std::lgamma(n - k + 1.0);
}

double log_rank(Count count, int order, double dim, double degree) {
  const double times = count == Count::papers ? order : 1.0;
  return log_binomial(times * (dim + degree), times * degree);
}

TheoryThreshold theory_threshold(Count count, int order, double per_log, double accuracy, double log2_n) {
  const double log_n = log2_n * std::numbers::ln2;
  TheoryThreshold found;
  found.dim = rounded_up(per_log * log2_n);
  constexpr double slack = 1e-9;  // of ranks that equal n^(k-1), as far as lgamma can tell
  const auto pays = [&](int degree) {
    return log_rank(count, order, found.dim, degree) <= (order - 1) * log_n + slack;
  };
  while (found.degree < kMostDegree && pays(found.degree + 1)) ++found.degree;
  if (found.degree == 0) return found;
  found.entries = std::pow(largest_radius(found.degree, -accuracy * log_n, true), 1.0 / order);
  return found;
}

}  // namespace polyattn::lab
