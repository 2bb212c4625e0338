#include "api/density_normaliser.hpp"

#include "base/checked.hpp"
#include "base/rows.hpp"
#include "numerics/double_double.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::api {

namespace {

using base::usize;
using numerics::inflate;
using numerics::kU64;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kTiny = 0x1p-1060;
constexpr double kHalfLogTwoPi = 0.91893853320467274178;

/// log sum exp(w_j) and its bound.
Normaliser total_weight(const ConstView& log_weights) {
  const std::int64_t n = log_weights.shape[2];
  std::vector<double> weights(usize(n));
  base::load_rows(base::head_rows(log_weights, 0, 0), 0, n, weights.data(), 1);
  const double largest = *std::max_element(weights.begin(), weights.end());
  numerics::Pair sum;
  double error = 0.0;
  for (const double weight : weights) {
    if (weight > -kInfinity) {
      const double below = std::max(weight - largest, std::numeric_limits<double>::lowest());
      const double share = std::exp(below);
      sum = numerics::add_same_sign(sum, {share, 0.0});
      error += share > 0.0 ? share * kU64 * (5.0 - below) + kTiny : kTiny;
    }
  }
  const double relative = inflate(error, n + 8) / sum.hi + 2.0 * kU64;  // the sum is at least 1, the largest share
  Normaliser total;
  total.log = largest + std::log(sum.hi);
  const double of_sum = relative < 0.5 ? inflate(-std::log1p(-relative), 8) : kInfinity;
  total.bound = inflate(of_sum + 5.0 * kU64 * std::log(sum.hi) + kU64 * std::fabs(total.log), 4);
  return total;
}

}  // namespace

Normaliser normaliser_of(const SmoothingInputs& inputs) {
  Normaliser all;
  if (inputs.log_weights) {
    all = total_weight(*inputs.log_weights);
  } else {
    all.log = std::log(static_cast<double>(inputs.n()));
    all.bound = 5.0 * kU64 * all.log;
  }
  double magnitude = std::fabs(all.log);
  double of_terms = 0.0;
  for (const double h : inputs.bandwidth) {
    const double term = std::log(h);
    all.log += term;
    of_terms += std::fabs(term);
  }
  const double constant = kHalfLogTwoPi * static_cast<double>(inputs.d());
  all.log += constant;
  of_terms += constant;
  magnitude += of_terms;
  const auto terms = inputs.d() + 2;
  all.bound = inflate(all.bound + 5.0 * kU64 * of_terms + numerics::gamma(terms, kU64) * magnitude, terms + 8);
  return all;
}

}  // namespace polyattn::api
