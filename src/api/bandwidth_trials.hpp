#pragma once

/// Looking for the bandwidth with the least leave-one-out error.

#include "polyattn/smoothing.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace polyattn::api {

/// Candidates tried so far and the best of them.
class BandwidthTrials {
 public:
  using Evaluate = std::function<BandwidthScore(const std::vector<double>&)>;

  /// @param enough  points that a candidate should score to be compared by its error
  BandwidthTrials(Evaluate evaluate, std::int64_t enough) : evaluate_(std::move(evaluate)), enough_(enough) {}

  /// Evaluates a bandwidth, unless that was done. True if it is now the best.
  bool attempt(const std::vector<double>& bandwidth, double factor);
  /// One axis after the other from the best so far, until no axis gains at the finest step or `most` were tried.
  void descend(double finest_step, std::size_t most);

  [[nodiscard]] const std::vector<BandwidthScore>& scores() const noexcept { return scores_; }
  [[nodiscard]] std::size_t best() const noexcept { return best_; }
  /// Whether the bounds of the errors leave no doubt about the best.
  [[nodiscard]] bool certain() const noexcept;

 private:
  [[nodiscard]] bool scores_enough(const BandwidthScore& score) const noexcept {
    return score.residuals.scored > 0 && score.residuals.scored >= enough_;
  }
  [[nodiscard]] bool better(const BandwidthScore& a, const BandwidthScore& b) const noexcept;

  Evaluate evaluate_;
  std::int64_t enough_;
  std::vector<BandwidthScore> scores_;
  std::size_t best_ = 0;
};

}  // namespace polyattn::api
