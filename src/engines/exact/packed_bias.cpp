#include "engines/exact/packed_bias.hpp"

#include "base/checked.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kKeyBlock;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double log2_units(double b) noexcept { return std::clamp(b, -0x1p1000, 0x1p1000) * simd::kLog2E; }

}  // namespace

template <class T>
PackedBias<T>::PackedBias(const double* bias, std::int64_t count, const KeyRange& seen, KeyStatistics& statistics,
                          base::MemoryMeter* memory) {
  if (bias != nullptr) {
    pack(bias, count, seen, statistics, memory);
    return;
  }
  statistics.visible = seen.size();
  if (seen.size() > 0) {
    statistics.first_visible = seen.first;
    statistics.bias_min = 0.0;
    statistics.bias_max = 0.0;
  }
  first_block_ = seen.first / kKeyBlock;
  last_block_ = base::blocks_of(seen.last, kKeyBlock);
  tail_ = count / kKeyBlock * kKeyBlock;
  std::fill(last_.begin() + (count - tail_), last_.end(), -std::numeric_limits<T>::infinity());
}

template <class T>
void PackedBias<T>::pack(const double* bias, std::int64_t count, const KeyRange& seen, KeyStatistics& statistics,
                         base::MemoryMeter* memory) {
  const std::int64_t blocks = base::blocks_of(count, kKeyBlock);
  bias_ = base::Buffer<T>(base::checked_mul(blocks, kKeyBlock, "keys"), memory);
  offsets_ = base::Buffer<T>(blocks, memory);
  any_visible_.assign(usize(blocks), 0);
  const T hidden = -std::numeric_limits<T>::infinity();
  // Masks by the least finite number stay finite.
  const double floor = sizeof(T) == sizeof(float) ? -0x1p120 : -0x1p1000;
  for (std::int64_t j = 0; j < count; ++j) {
    const double b = bias[j];
    if (b == -kInfinity) {
      continue;
    }
    if (j >= seen.first && j < seen.last) {
      statistics.first_visible = std::min(statistics.first_visible, j);
      ++statistics.visible;
    }
    statistics.bias_min = std::min(statistics.bias_min, b);
    statistics.bias_max = std::max(statistics.bias_max, b);
    statistics.finite = statistics.finite && std::isfinite(b);
  }
  if (std::isfinite(statistics.bias_max)) {
    shift_ = std::ceil(log2_units(statistics.bias_max));
  }
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t first = block * kKeyBlock;
    const std::int64_t last = std::min(count, first + kKeyBlock);
    double low = kInfinity;
    double high = -kInfinity;
    for (std::int64_t j = first; j < last; ++j) {
      const double b = bias[j];
      low = b == -kInfinity ? low : std::min(low, b);
      high = std::max(high, b);
    }
    const bool any = high != -kInfinity;
    any_visible_[usize(block)] = any ? 1 : 0;
    const double top = any && std::isfinite(high) ? std::ceil(log2_units(high) - shift_) : 0.0;
    const T offset = static_cast<T>(std::max(top, floor));
    offsets_[usize(block)] = offset;
    if (any) {
      statistics.bias_spread = std::max(statistics.bias_spread, high - low);
    }
    for (std::int64_t j = first; j < first + kKeyBlock; ++j) {
      const double b = j >= count ? -kInfinity : bias[j];
      const double relative = log2_units(b) - (shift_ + static_cast<double>(offset));
      bias_[usize(j)] = b == -kInfinity ? hidden : static_cast<T>(std::isfinite(b) ? std::max(relative, floor) : b);
    }
  }
}

template <class T>
std::int64_t PackedBias<T>::bytes(std::int64_t count, bool biased) noexcept {
  const std::int64_t blocks = base::blocks_of(count, kKeyBlock);
  return biased ? blocks * (kKeyBlock + 1) * static_cast<std::int64_t>(sizeof(T)) : 0;
}

template class PackedBias<float>;
template class PackedBias<double>;

}  // namespace polyattn::engines
