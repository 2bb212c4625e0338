#include "engines/exact/tile.hpp"

#include "base/checked.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kKeyBlock;
using simd::kSuperblock;
using simd::kTile;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLog2E = 0x1.71547652b82fep+0;

/// log2(e) / (2 H^2) within these limits lets sum_l t_l^2 be formed before it is scaled.
constexpr double kLeastIsotropic = 0x1p-60;
constexpr double kMostIsotropic = 0x1p60;

template <class T>
const simd::ExactKernels<T>& exact_kernels() {
  if constexpr (std::is_same_v<T, float>) {
    return simd::kernels().exact32;
  } else {
    return simd::kernels().exact64;
  }
}

}  // namespace

template <class T>
TileScoring<T> tile_scoring(const HeadScore& score, std::int64_t dim) {
  TileScoring<T> scoring;
  if (score.kind == ScoreKind::dot) {
    scoring.query_factor = score.scale * kLog2E;
    return scoring;
  }
  const double first = dim > 0 ? score.bandwidth.front() : 1.0;
  const bool equal = std::all_of(score.bandwidth.begin(), score.bandwidth.end(), [&](double h) { return h == first; });
  const double square = kLog2E / (2 * (first * first));
  if (equal && square >= kLeastIsotropic && square <= kMostIsotropic) {
    scoring.kind = simd::TileScore::isotropic;
    scoring.factors = {static_cast<T>(square)};
    return scoring;
  }
  scoring.kind = simd::TileScore::gaussian;
  for (const double h : score.bandwidth) {
    scoring.factors.push_back(static_cast<T>(std::sqrt(kLog2E / 2) / h));
  }
  return scoring;
}

template <class T>
Tile<T>::Tile(std::int64_t dim, std::int64_t value_dim, const TileScoring<T>& scoring, base::MemoryMeter* memory)
    : dim_(dim),
      value_dim_(value_dim),
      scoring_(&scoring),
      queries_(base::checked_mul(dim, kTile, "queries"), T(0), memory),
      live_(base::checked_mul(value_dim + 4, kTile, "values"), memory),
      totals_(base::checked_mul(2 * value_dim + 2, kTile, "values"), memory),
      scratch_(kKeyBlock * kTile, memory),
      limits_(usize(kTile)),
      hull_(usize(2 * value_dim)) {
  reset(kTile);
}

template <class T>
void Tile<T>::reset(std::int64_t lanes) noexcept {
  lanes_ = lanes;
  std::fill(live_.begin(), live_.end(), T(0));
  std::fill_n(live_.data(), kTile, std::numeric_limits<T>::lowest());
  std::fill_n(live_.data() + kTile, kTile, -std::numeric_limits<T>::infinity());
  std::fill(totals_.begin(), totals_.end(), 0.0);
  std::fill_n(totals_.data(), kTile, static_cast<double>(std::numeric_limits<T>::lowest()));
  std::fill(limits_.begin(), limits_.end(), std::numeric_limits<std::int64_t>::max());
}

template <class T>
simd::ExactState<T> Tile<T>::live() noexcept {
  T* at = live_.data();
  return {at, at + kTile, at + 2 * kTile, at + 4 * kTile};
}

template <class T>
simd::ExactTotals Tile<T>::totals() noexcept {
  return {totals_.data(), totals_.data() + kTile, totals_.data() + 2 * kTile};
}

template <class T>
void Tile<T>::absorb_block(const simd::ExactKernels<T>& kernels, const PackedKeys<T>& keys, std::int64_t block,
                           T* scratch) noexcept {
  const std::int64_t first = block * kKeyBlock;
  const std::int64_t last = std::min(keys.count, first + kKeyBlock);
  const auto lanes = limits_.begin() + lanes_;
  if (!std::any_of(limits_.begin(), lanes, [&](std::int64_t limit) { return limit > first; })) {
    return;
  }
  T* limits = nullptr;
  if (std::any_of(limits_.begin(), lanes, [&](std::int64_t limit) { return limit < last; })) {
    limits = live_.data() + 3 * kTile;
    for (std::size_t lane = 0; lane < limits_.size(); ++lane) {
      limits[lane] = static_cast<T>(std::clamp<std::int64_t>(limits_[lane] - first, 0, kKeyBlock));
    }
  }
  const bool guarded = limits != nullptr && keys.finite_values[usize(block)] == 0;
  kernels.absorb(keys.block(block),
                 {dim_, value_dim_, lanes_, scoring_->kind, queries_.data(), scoring_->factors.data(), limits, guarded,
                  keys.statistics.finite, scratch},
                 live());
}

template <class T>
const double* Tile<T>::divide(const PackedKeys<T>& keys) noexcept {
  // NaN or infinite values have no hull.
  const bool finite = keys.statistics.finite;
  for (std::int64_t c = 0; c < value_dim_; ++c) {
    hull_[usize(c)] = finite ? keys.statistics.value_min[usize(c)] / keys.value_scale : -kInfinity;
    hull_[usize(value_dim_ + c)] = finite ? keys.statistics.value_max[usize(c)] / keys.value_scale : kInfinity;
  }
  double* averages = totals_.data() + (2 + value_dim_) * kTile;
  exact_kernels<T>().divide(value_dim_, totals(), hull_.data(), hull_.data() + value_dim_, averages, largest_.data());
  if (keys.value_scale != 1.0) {
    for (std::int64_t i = 0; i < value_dim_ * kTile; ++i) {
      averages[i] *= keys.value_scale;
    }
    for (double& size : largest_) {
      size *= keys.value_scale;
    }
  }
  return averages;
}

template <class T>
void absorb(const PackedKeys<T>& keys, std::span<Tile<T>> tiles, std::int64_t first, std::int64_t last) {
  const simd::ExactKernels<T>& kernels = exact_kernels<T>();
  for (std::int64_t block = first; block < last; ++block) {
    if (keys.any_visible[usize(block)] != 0) {
      for (Tile<T>& tile : tiles) {
        tile.absorb_block(kernels, keys, block, tiles.front().scratch_.data());
      }
    }
    if (block % kSuperblock == kSuperblock - 1 || block == last - 1) {
      for (Tile<T>& tile : tiles) {
        kernels.flush(tile.value_dim_, tile.live(), tile.totals());
      }
    }
  }
}

std::int64_t tile_bytes(std::int64_t dim, std::int64_t value_dim, std::int64_t element) {
  return kTile * (element * (dim + value_dim + 4 + kKeyBlock) + 8 * (2 * value_dim + 2));
}

template struct TileScoring<float>;
template struct TileScoring<double>;
template TileScoring<float> tile_scoring<float>(const HeadScore&, std::int64_t);
template TileScoring<double> tile_scoring<double>(const HeadScore&, std::int64_t);
template class Tile<float>;
template class Tile<double>;
template void absorb<float>(const PackedKeys<float>&, std::span<Tile<float>>, std::int64_t, std::int64_t);
template void absorb<double>(const PackedKeys<double>&, std::span<Tile<double>>, std::int64_t, std::int64_t);

}  // namespace polyattn::engines
