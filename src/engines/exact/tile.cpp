#include "engines/exact/tile.hpp"

#include "base/checked.hpp"
#include "engines/exact/kernels.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kKeyBlock;
using simd::kSuperblock;
using simd::kTile;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// log2(e) / (2 H^2) within these limits lets sum_l t_l^2 be formed before it is scaled.
constexpr double kLeastIsotropic = 0x1p-60;
constexpr double kMostIsotropic = 0x1p60;

template <class T>
simd::ExactState<T> state_of(T* at) noexcept {
  return {at, at + kTile, at + 2 * kTile, at + 4 * kTile};
}
template <class T>
T* sizes_of(T* state) noexcept {
  return state + 3 * kTile;
}

}  // namespace

template <class T>
TileScoring<T> tile_scoring(const HeadScore& score, std::int64_t dim, double soft_cap) {
  TileScoring<T> scoring;
  if (soft_cap > 0.0) {
    scoring.cap = {static_cast<T>(2.0 / soft_cap), static_cast<T>(soft_cap * simd::kLog2E)};
  }
  if (score.kind == ScoreKind::dot) {
    scoring.query_factor = score.scale * simd::kLog2E;
    return scoring;
  }
  const double first = dim > 0 ? score.bandwidth.front() : 1.0;
  const bool equal = std::all_of(score.bandwidth.begin(), score.bandwidth.end(), [&](double h) { return h == first; });
  const double square = simd::kLog2E / (2 * (first * first));
  if (equal && square >= kLeastIsotropic && square <= kMostIsotropic) {
    scoring.kind = simd::TileScore::isotropic;
    scoring.factors = {static_cast<T>(square)};
    return scoring;
  }
  scoring.kind = simd::TileScore::gaussian;
  for (const double h : score.bandwidth) {
    scoring.factors.push_back(static_cast<T>(std::sqrt(simd::kLog2E / 2) / h));
  }
  return scoring;
}

template <class T>
Tile<T>::Tile(std::int64_t dim, std::int64_t value_dim, const TileScoring<T>& scoring, base::MemoryMeter* memory)
    : dim_(dim),
      value_dim_(value_dim),
      scoring_(&scoring),
      kernels_(&exact_kernels<T>()),
      queries_(base::checked_mul(dim, kTile, "queries"), T(0), memory),
      state_(base::checked_mul(value_dim + 4, kTile, "values"), memory),
      totals_(base::checked_mul(2 * value_dim + 3, kTile, "values"), memory),
      hull_(usize(2 * value_dim)) {
  reset(kTile);
}

template <class T>
void Tile<T>::reset(std::int64_t lanes) noexcept {
  lanes_ = lanes;
  clear(state_.data(), value_dim_);
  std::fill(totals_.begin(), totals_.end(), 0.0);
  std::fill_n(totals_.data(), kTile, static_cast<double>(std::numeric_limits<T>::lowest()));
  std::fill_n(totals_.data() + kTile, kTile, -kInfinity);
  masks_.ranges.fill({0, std::numeric_limits<std::int64_t>::max()});
  masks_.common = masks_.ranges.front();
  masks_.rows.fill(0);
  mask_sizes_.fill(0.0);
}

template <class T>
void Tile<T>::clear(T* state, std::int64_t value_dim) noexcept {
  std::fill_n(state, state_size(value_dim), T(0));
  std::fill_n(state, kTile, std::numeric_limits<T>::lowest());
  std::fill_n(state + kTile, kTile, -std::numeric_limits<T>::infinity());
}

template <class T>
simd::ExactTotals Tile<T>::totals() noexcept {
  double* at = totals_.data();
  return {at, at + kTile, at + 2 * kTile, at + 3 * kTile};
}

template <class T>
void Tile<T>::note_mask_size(std::int64_t lane, double size) noexcept {
  double& old = mask_sizes_[usize(lane)];
  old = size <= old || std::isnan(old) ? old : size;
}

template <class T>
void Tile<T>::absorb_block(const simd::ExactBlock<T>& block, const BlockFacts& facts, T* state,
                           TileWork<T>& work) const noexcept {
  const BlockView view = view_block(masks_, lanes_, facts.first, facts.count);
  if (view.first >= view.last) {
    return;
  }
  const T* mask = nullptr;
  if (!view.all) {
    if (!fill_mask(masks_, lanes_, facts, view, work.scratch.data(), work.mask.data(), sizes_of(state), block.bias)) {
      return;
    }
    mask = work.mask.data();
  }
  simd::ExactBlock<T> seen = block;
  seen.first_group = view.first / simd::kRowGroup;
  seen.groups = std::min<std::ptrdiff_t>(block.groups, base::blocks_of(view.last, simd::kRowGroup));
  kernels_->absorb(seen,
                   {dim_, value_dim_, lanes_, scoring_->kind, queries_.data(), scoring_->factors.data(), scoring_->cap,
                    mask, mask != nullptr && !facts.finite_values, facts.finite, work.scratch.data()},
                   state_of(state));
}

template <class T>
void Tile<T>::flush(T* state) noexcept {
  kernels_->flush(value_dim_, state_of(state), totals());
  T* sizes = sizes_of(state);
  for (std::int64_t lane = 0; lane < lanes_; ++lane) {
    note_mask_size(lane, static_cast<double>(sizes[lane]));
    sizes[lane] = T(0);
  }
}

template <class T>
const double* Tile<T>::divide(const KeyStatistics& keys, double value_scale) noexcept {
  // NaN or infinite values have no hull.
  for (std::int64_t c = 0; c < value_dim_; ++c) {
    hull_[usize(c)] = keys.finite ? keys.value_min[usize(c)] / value_scale : -kInfinity;
    hull_[usize(value_dim_ + c)] = keys.finite ? keys.value_max[usize(c)] / value_scale : kInfinity;
  }
  double* averages = totals_.data() + (3 + value_dim_) * kTile;
  kernels_->divide(value_dim_, totals(), hull_.data(), hull_.data() + value_dim_, averages, largest_.data());
  if (value_scale != 1.0) {
    for (std::int64_t i = 0; i < value_dim_ * kTile; ++i) {
      averages[i] *= value_scale;
    }
    for (double& size : largest_) {
      size *= value_scale;
    }
  }
  return averages;
}

template <class T>
void absorb(const PackedKeys<T>& keys, std::span<Tile<T>> tiles, TileWork<T>& work, std::int64_t first,
            std::int64_t last) {
  for (std::int64_t b = first; b < last; ++b) {
    if (keys.biases.any_visible(b)) {
      const simd::ExactBlock<T> block = keys.block(b);
      const BlockFacts facts = keys.facts(b);
      for (Tile<T>& tile : tiles) {
        tile.absorb_block(block, facts, tile.own_state(), work);
      }
    }
    if (b % kSuperblock == kSuperblock - 1 || b == last - 1) {
      for (Tile<T>& tile : tiles) {
        tile.flush(tile.own_state());
      }
    }
  }
}

std::int64_t tile_bytes(std::int64_t dim, std::int64_t value_dim, std::int64_t element) {
  return kTile * (element * (dim + value_dim + 4) + 8 * (2 * value_dim + 3));
}
std::int64_t tile_work_bytes(bool with_masks, std::int64_t element) {
  return kKeyBlock * kTile * element * (with_masks ? 2 : 1);
}

template struct TileScoring<float>;
template struct TileScoring<double>;
template TileScoring<float> tile_scoring<float>(const HeadScore&, std::int64_t, double);
template TileScoring<double> tile_scoring<double>(const HeadScore&, std::int64_t, double);
template class Tile<float>;
template class Tile<double>;
template void absorb<float>(const PackedKeys<float>&, std::span<Tile<float>>, TileWork<float>&, std::int64_t,
                            std::int64_t);
template void absorb<double>(const PackedKeys<double>&, std::span<Tile<double>>, TileWork<double>&, std::int64_t,
                             std::int64_t);

}  // namespace polyattn::engines
