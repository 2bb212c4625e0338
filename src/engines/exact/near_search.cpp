#include "engines/exact/near_search.hpp"

#include "base/checked.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::engines {
namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Blocks within this of the heaviest are put in order first: few rows need more.
constexpr double kWindow = 48.0;
/// Covers the rounding of squared gaps and of their sum (each below 10 units), relative.
constexpr double kGapSlack = 1.0 - 1e-14;
/// And that of logarithms, exponentials and a sum of up to 2^24 terms.
constexpr double kMassSlack = 1.0 + 1e-8;

}  // namespace

NearSearch::NearSearch(const NearKeys& keys) : keys_(keys), log_mass_(usize(keys.blocks())) {}

void NearSearch::look(const NearBoxes& tiles, std::int64_t tile) {
  const std::int64_t count = blocks();
  double* const far = log_mass_.data();
  std::fill(log_mass_.begin(), log_mass_.end(), 0.0);
  for (std::int64_t l = 0; l < keys_.dim(); ++l) {
    const double low = tiles.low[usize(l * tiles.count + tile)];
    const double high = tiles.high[usize(l * tiles.count + tile)];
    const double rate = keys_.rates[usize(l)];
    const double* key_low = keys_.boxes.low.data() + l * count;
    const double* key_high = keys_.boxes.high.data() + l * count;
    for (std::int64_t b = 0; b < count; ++b) {
      const double gap = std::max(0.0, std::max(key_low[b] - high, low - key_high[b]));
      far[b] += rate * gap * gap;
    }
  }
  top_ = -kInfinity;
  for (std::int64_t b = 0; b < count; ++b) {
    // A gap beyond float64 leaves nothing of the block.
    far[b] = far[b] < kInfinity ? keys_.log_mass[usize(b)] - far[b] * kGapSlack : -kInfinity;
    top_ = std::max(top_, far[b]);
  }
  top_ = top_ > -kInfinity ? top_ : 0.0;
  sort(kWindow);
}

void NearSearch::grow() { sort(2.0 * window_); }

void NearSearch::sort(double window) {
  window_ = window;
  order_.clear();
  // Once the window holds nothing new to speak of, all blocks are put in order.
  const double least = window > 0x1p20 ? -kInfinity : top_ - window;
  for (std::int64_t b = 0; b < blocks(); ++b) {
    if (log_mass_[usize(b)] >= least) {
      order_.push_back(b);
    }
  }
  std::sort(order_.begin(), order_.end(), [&](std::int64_t a, std::int64_t b) {
    const double x = log_mass_[usize(a)];
    const double y = log_mass_[usize(b)];
    return x != y ? x > y : a < b;
  });
  rest_.assign(order_.size() + 1, 0.0);
  rest_.back() = all() ? 0.0
                       : static_cast<double>(blocks() - ready()) *
                             (std::exp(-window) + std::numeric_limits<double>::min()) * kMassSlack;
  for (std::size_t i = order_.size(); i > 0; --i) {
    // The least number for what underflows.
    const double mass = std::exp(log_mass_[usize(order_[i - 1])] - top_) + std::numeric_limits<double>::min();
    rest_[i - 1] = rest_[i] + mass;
  }
}

double NearSearch::log_rest(std::int64_t i) const noexcept {
  const double rest = rest_[usize(i)];
  if (rest == 0.0) {
    return -kInfinity;
  }
  if (!(rest > 0.0)) {
    return kInfinity;  // not a number: nothing is known
  }
  const double log = std::log(rest * kMassSlack);
  return top_ + log + 1e-14 * (std::fabs(top_) + std::fabs(log) + 1.0);
}

}  // namespace polyattn::engines
