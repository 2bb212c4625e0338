#include "api/bandwidth_trials.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace polyattn::api {

namespace {

/// Bandwidths start_l 2^(k_l / units): whole numbers k, so that coming back to one is coming back to the same bits.
struct Lattice {
  std::vector<double> start;
  double units = 1.0;

  [[nodiscard]] std::vector<double> at(const std::vector<int>& k) const {
    std::vector<double> bandwidth = start;
    for (std::size_t l = 0; l < start.size(); ++l) {
      bandwidth[l] *= std::exp2(k[l] / units);
    }
    return bandwidth;
  }
};

bool usable(const std::vector<double>& bandwidth) {
  return std::all_of(bandwidth.begin(), bandwidth.end(), [](double h) {
    return std::isfinite(h) && h > 0.0 && std::isfinite(2.0 / (h * h)) && 1.0 / (h * h) > 0.0;
  });
}

/// Less than the errors are known to is no gain, nor is less than a ten-thousandth: along an axis that says nothing the
/// error falls for ever, by less and less.
bool worth_going_on(const BandwidthScore& before, const BandwidthScore& after) noexcept {
  constexpr double kLeastGain = 1e-4;
  return before.residuals.scored < after.residuals.scored ||
         before.error - after.error > std::max(before.error_bound + after.error_bound, kLeastGain * before.error);
}

}  // namespace

bool BandwidthTrials::better(const BandwidthScore& a, const BandwidthScore& b) const noexcept {
  if (scores_enough(a) != scores_enough(b)) {
    return scores_enough(a);
  }
  if (!scores_enough(a) && a.residuals.scored != b.residuals.scored) {
    return a.residuals.scored > b.residuals.scored;
  }
  return a.error < b.error;
}

bool BandwidthTrials::attempt(const std::vector<double>& bandwidth, double factor) {
  const bool known = std::any_of(scores_.begin(), scores_.end(),
                                 [&](const BandwidthScore& score) { return score.bandwidth == bandwidth; });
  if (known) {
    return false;
  }
  BandwidthScore score = evaluate_(bandwidth);
  score.bandwidth = bandwidth;
  score.factor = factor;
  const bool wins = scores_.empty() || better(score, scores_[best_]);
  best_ = wins ? scores_.size() : best_;
  scores_.push_back(std::move(score));
  return wins;
}

void BandwidthTrials::descend(double finest_step, std::size_t most) {
  Lattice lattice{scores_[best_].bandwidth, 1.0};
  while (std::exp2(0.5 / lattice.units) >= finest_step) {
    lattice.units *= 2.0;
  }
  std::vector<int> k(lattice.start.size(), 0);
  for (int stride = static_cast<int>(lattice.units); stride > 0; stride /= 2) {
    bool gained = true;
    while (gained) {
      gained = false;
      for (std::size_t l = 0; l < k.size(); ++l) {
        for (const int step : {stride, -stride}) {
          const int before = k[l];
          bool gains = true;
          while (gains && scores_.size() < most) {
            const BandwidthScore last = scores_[best_];
            k[l] += step;
            const std::vector<double> bandwidth = lattice.at(k);
            const bool wins = usable(bandwidth) && attempt(bandwidth, std::numeric_limits<double>::quiet_NaN());
            k[l] -= wins ? 0 : step;
            gains = wins && worth_going_on(last, scores_[best_]);
            gained = gained || gains;
          }
          if (k[l] != before) {
            break;  // the other way is where it came from
          }
        }
      }
    }
  }
}

bool BandwidthTrials::certain() const noexcept {
  const BandwidthScore& best = scores_[best_];
  if (!scores_enough(best)) {
    return false;
  }
  for (std::size_t i = 0; i < scores_.size(); ++i) {
    const BandwidthScore& other = scores_[i];
    if (i != best_ && scores_enough(other) && !(other.error - other.error_bound > best.error + best.error_bound)) {
      return false;
    }
  }
  return true;
}

}  // namespace polyattn::api
