// Lemma. Let m_s(l) > 0 be any profile of side s, c_l = prod_s m_s(l), u_s(j, l) = |z_s(j, l)| / m_s(l) and 1/p_1 + ...
// + 1/p_k = 1 with p_s in [1, infinity]. Then, with N_s(p) = max_j (sum_l c_l u_s(j, l)^p)^(1/p) and N_s(infinity) =
// max u_s,
//
//     sum_l prod_s |z_s(j_s, l)| = sum_l c_l prod_s u_s(j_s, l) <= prod_s N_s(p_s)          (Hoelder, weights c_l).
//
// For fixed p this is Hoelder's inequality after scaling the axes of side s by (c_l)^(1/p_s) / m_s(l), whose product
// over s is 1. Were all rows like their profile, |z_s(j, l)| = m_s(l), it would be an equality: so the profiles tried
// are the largest entries and the root mean squares. With the largest entries all u <= 1, and every choice of p gives
// at most sum_l c_l.
//
// Exponents: p sides with exponent p and the others with infinity, for p = 1 ... k (the best p sides for each p), and
// one side with 2, the others with 2 (k - 1): for three sides (1, inf, inf), (2, 2, inf), (3, 3, 3), (2, 4, 4) and
// their permutations. N_s(p) is computed as C^(1/p) M_s(p), M_s(p) = max_j (sum_l (c_l/C) u^p)^(1/p): the powers of C
// multiply to C, whatever C is; C = sum_l c_l keeps numbers in range.
//
// Rounding: no subtraction anywhere, so the result is enlarged for the operations of its longest chain (`inflate`; the
// library's pow is taken as within 64 ulp). Axes whose product of largest entries is below 2^-900 are left out and that
// much added for each of them; a profile with a product below 2^-960, or below 2^-960 C, is not tried, and then no
// product of the rest underflows but where a term is below 2^-1000 relative to C, for which 2^-900 is added to every M.

#include "numerics/product_sum_bound.hpp"

#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace polyattn::numerics {

namespace {

using Profile = std::vector<double>;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLeastAxis = 0x1p-900;
constexpr double kLeastProfile = 0x1p-960;

std::size_t usize(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

Profile largest_entries(const PointRows& side) {
  Profile largest(usize(side.dim), 0.0);
  for (std::int64_t j = 0; j < side.count; ++j) {
    for (std::size_t l = 0; l < largest.size(); ++l) {
      largest[l] = std::max(largest[l], std::fabs(side.data[usize(j * side.dim) + l]));
    }
  }
  return largest;
}

/// Relative to `largest`, so that squares stay in range. Where that is 0 so is the result.
Profile root_mean_squares(const PointRows& side, const Profile& largest) {
  Profile result(largest.size(), 0.0);
  for (std::int64_t j = 0; j < side.count; ++j) {
    for (std::size_t l = 0; l < largest.size(); ++l) {
      const double share = largest[l] > 0.0 ? side.data[usize(j * side.dim) + l] / largest[l] : 0.0;
      result[l] += share * share / static_cast<double>(side.count);
    }
  }
  for (std::size_t l = 0; l < largest.size(); ++l) {
    result[l] = std::sqrt(result[l]) * largest[l];
  }
  return result;
}

/// M(1) ... M(most) of one side, and M(infinity) in place 0.
std::vector<double> means_of(const PointRows& side, const Profile& profile, const std::vector<double>& weights,
                             std::size_t most) {
  std::vector<double> largest(most + 1, 0.0);
  std::vector<double> sums(most + 1);
  for (std::int64_t j = 0; j < side.count; ++j) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (std::size_t l = 0; l < profile.size(); ++l) {
      if (weights[l] == 0.0) continue;
      const double u = std::fabs(side.data[usize(j * side.dim) + l]) / profile[l];
      sums[0] = std::max(sums[0], u);
      double term = weights[l];
      for (std::size_t p = 1; p <= most; ++p) {
        term *= u;
        sums[p] += term;
      }
    }
    for (std::size_t p = 0; p <= most; ++p) largest[p] = std::max(largest[p], sums[p]);
  }
  for (std::size_t p = 1; p <= most; ++p) {
    largest[p] = std::pow(largest[p] + kLeastAxis, 1.0 / static_cast<double>(p));
  }
  return largest;
}

/// The smallest product of M_s(p_s) over the exponents tried.
double best_product(const std::vector<std::vector<double>>& means) {
  const std::size_t sides = means.size();
  double best = kInfinity;
  for (std::size_t p = 1; p <= sides; ++p) {
    std::vector<double> ratios;  // of M(p) to M(infinity): the p smallest are taken
    double product = 1.0;
    for (const std::vector<double>& mean : means) {
      ratios.push_back(mean[p] / mean[0]);
      product *= mean[0];
    }
    std::sort(ratios.begin(), ratios.end());
    for (std::size_t s = 0; s < p; ++s) product *= ratios[s];
    best = std::min(best, product);
  }
  for (std::size_t one = 0; sides > 2 && one < sides; ++one) {
    double product = 1.0;
    for (std::size_t s = 0; s < sides; ++s) product *= means[s][s == one ? 2 : 2 * (sides - 1)];
    best = std::min(best, product);
  }
  return best;
}

double bound_of(std::span<const PointRows> sides, const std::vector<Profile>& profiles, const std::vector<bool>& used) {
  const std::size_t dim = used.size();
  std::vector<double> weights(dim, 0.0);
  double total = 0.0;
  for (std::size_t l = 0; l < dim; ++l) {
    if (!used[l]) continue;
    double product = 1.0;
    for (const Profile& profile : profiles) product *= profile[l];
    if (!(product >= kLeastProfile)) return kInfinity;
    weights[l] = product;
    total += product;
  }
  if (!std::isfinite(total)) return kInfinity;
  for (double& weight : weights) weight /= total;
  if (std::any_of(weights.begin(), weights.end(),
                  [](double weight) { return weight > 0.0 && weight < kLeastProfile; })) {
    return kInfinity;
  }
  const std::size_t most = std::max(sides.size(), 2 * (sides.size() - 1));
  std::vector<std::vector<double>> means;
  for (std::size_t s = 0; s < sides.size(); ++s) means.push_back(means_of(sides[s], profiles[s], weights, most));
  // A chain: c_l, C, a weight, u^p and its sum, the root, and as many such factors as sides.
  const auto count = static_cast<std::int64_t>(sides.size());
  const auto operations =
      count * (2 * static_cast<std::int64_t>(dim) + 4 * count + 3 * static_cast<std::int64_t>(most) + 80);
  return inflate(total * best_product(means), operations);
}

}  // namespace

double product_sum_bound(std::span<const PointRows> sides) {
  if (std::any_of(sides.begin(), sides.end(), [](const PointRows& side) { return side.count == 0; })) return 0.0;
  std::vector<Profile> largest;
  for (const PointRows& side : sides) largest.push_back(largest_entries(side));
  std::vector<bool> used(usize(sides.front().dim));
  double left_out = 0.0;
  for (std::size_t l = 0; l < used.size(); ++l) {
    double product = 1.0;
    bool any = true;
    for (const Profile& profile : largest) {
      product *= profile[l];
      any = any && profile[l] > 0.0;
    }
    used[l] = !(product < kLeastAxis);
    left_out += any && !used[l] ? 2.0 * kLeastAxis : 0.0;
  }
  if (std::none_of(used.begin(), used.end(), [](bool is) { return is; })) return left_out;
  std::vector<Profile> typical;
  for (std::size_t s = 0; s < sides.size(); ++s) typical.push_back(root_mean_squares(sides[s], largest[s]));
  const double bound = std::min(bound_of(sides, largest, used), bound_of(sides, typical, used));
  return left_out > 0.0 ? inflate(bound + left_out, 2) : bound;
}

}  // namespace polyattn::numerics
