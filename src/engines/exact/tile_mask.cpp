#include "engines/exact/tile_mask.hpp"

#include "base/checked.hpp"
#include "base/rows.hpp"
#include "engines/exact/kernels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kKeyBlock;
using simd::kRowGroup;
using simd::kTile;

template <class T>
constexpr T kHidden = -std::numeric_limits<T>::infinity();
/// What is added stays finite as long as it is not -inf: such keys are visible, if barely.
template <class T>
constexpr T kFloor = sizeof(T) == sizeof(float) ? T(-0x1p120) : T(-0x1p1000);

/// What an additive mask holds, as T. What only T cannot hold does not hide: it becomes the least finite number.
template <class T>
void load_additive(const PairAdditive& additive, std::int64_t row, std::int64_t first, std::int64_t count,
                   T* out) noexcept {
  const std::int64_t at = row * additive.row_stride + first * additive.key_stride;
  if (sizeof(T) == sizeof(double) || additive.dtype != DType::float64) {
    base::load_elements(additive.data, additive.dtype, at, additive.key_stride, count, out);
    return;
  }
  std::array<double, kKeyBlock> wide;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  base::load_elements(additive.data, additive.dtype, at, additive.key_stride, count, wide.data());
  constexpr double least = static_cast<double>(std::numeric_limits<T>::lowest());
  for (std::int64_t j = 0; j < count; ++j) {
    const double x = wide[usize(j)];
    out[j] = static_cast<T>(x < least && x > kHidden<double> ? least : x);
  }
}

/// Natural units; at most a block of keys [first, first + count) of row `row`. Unit strides go without conversion.
template <class T>
void load_pairs(const PairMask& pairs, std::int64_t row, std::int64_t first, std::int64_t count, T* out) noexcept {
  if (pairs.additive.data != nullptr) {
    load_additive(pairs.additive, row, first, count, out);
  } else {
    std::fill_n(out, count, T(0));
  }
  const PairBoolean& boolean = pairs.boolean;
  if (boolean.data == nullptr) {
    return;
  }
  const std::uint8_t* seen = boolean.data + row * boolean.row_stride + first * boolean.key_stride;
  if (boolean.key_stride == 1) {
    for (std::int64_t j = 0; j < count; ++j) {
      out[j] = seen[j] != 0 ? out[j] : kHidden<T>;
    }
  } else {
    for (std::int64_t j = 0; j < count; ++j) {
      out[j] = seen[j * boolean.key_stride] != 0 ? out[j] : kHidden<T>;
    }
  }
}

/// The block of a row's mask from key `first` on will be wanted soon.
void prefetch_pairs(const PairMask& pairs, std::int64_t row, std::int64_t first) noexcept {
  const auto fetch = [&](const void* data, std::int64_t element, std::int64_t row_stride, std::int64_t key_stride) {
    if (data != nullptr && key_stride == 1) {
      const char* from = static_cast<const char*>(data) + (row * row_stride + first) * element;
      for (std::int64_t byte = 0; byte < kKeyBlock * element; byte += 64) {
        __builtin_prefetch(from + byte, 0, 2);
      }
    }
  };
  fetch(pairs.boolean.data, 1, pairs.boolean.row_stride, pairs.boolean.key_stride);
  fetch(pairs.additive.data, static_cast<std::int64_t>(size_of(pairs.additive.dtype)), pairs.additive.row_stride,
        pairs.additive.key_stride);
}

/// Position of row i's own key in the block, or -1.
std::int64_t hole(const LaneMasks& masks, std::int64_t lane, std::int64_t first) noexcept {
  const std::int64_t at = masks.rows[usize(lane)] - first;
  return masks.exclude_self && at >= 0 && at < kKeyBlock ? at : -1;
}

/// What a lane sees of a block by position, relative to the block.
KeyRange seen_in_block(const LaneMasks& masks, std::int64_t lane, const BlockFacts& block) noexcept {
  const KeyRange& range = masks.ranges[usize(lane)];
  const std::int64_t first = std::clamp<std::int64_t>(range.first - block.first, 0, block.count);
  return {first, std::clamp<std::int64_t>(range.last - block.first, first, block.count)};
}

/// Hides what its bias hides from everyone.
template <class T>
void hide(const T* bias, const KeyRange& seen, T* mask) noexcept {
  for (std::int64_t j = seen.first; bias != nullptr && j < seen.last; ++j) {
    mask[j] = bias[j] < std::numeric_limits<T>::lowest() ? kHidden<T> : mask[j];
  }
}

bool has_pairs(const LaneMasks& masks) noexcept { return masks.pairs != nullptr && masks.pairs->any(); }

}  // namespace

BlockView view_block(const LaneMasks& masks, std::int64_t lanes, std::int64_t first, std::int64_t count) noexcept {
  const bool by_range = !has_pairs(masks) && !masks.exclude_self;
  if (by_range && masks.common.first <= first && first + count <= masks.common.last) {
    return {0, count, true};
  }
  BlockView view{count, 0, !has_pairs(masks)};
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    const auto [from, to] = seen_in_block(masks, lane, {first, count});
    view.all = view.all && from == 0 && to == count && hole(masks, lane, first) < 0;
    if (from < to) {
      view.first = std::min(view.first, from);
      view.last = std::max(view.last, to);
    }
  }
  return view;
}

template <class T>
bool fill_mask(const LaneMasks& masks, std::int64_t lanes, const BlockFacts& block, const BlockView& view, T* staged,
               T* mask, T* size, const T* bias) noexcept {
  const simd::ExactKernels<T>& kernels = exact_kernels<T>();
  const std::int64_t padded = base::round_up_to(view.last, kRowGroup);
  const std::int64_t padded_lanes = base::round_up_to(lanes, simd::kPadding);
  if (has_pairs(masks)) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      // Only what the lane sees: elsewhere a mask may hold anything.
      const KeyRange seen = seen_in_block(masks, lane, block);
      T* row = staged + lane * kKeyBlock;
      if (seen.first > 0 || seen.last < padded) {
        std::fill_n(row, padded, kHidden<T>);
      }
      load_pairs(*masks.pairs, masks.rows[usize(lane)], block.first + seen.first, seen.size(), row + seen.first);
      if (const std::int64_t at = hole(masks, lane, block.first); at >= 0) {
        row[at] = kHidden<T>;
      }
      hide(bias, seen, row);
      prefetch_pairs(*masks.pairs, masks.rows[usize(lane)], block.first + kKeyBlock);
    }
    std::fill(staged + lanes * kKeyBlock, staged + padded_lanes * kKeyBlock, kHidden<T>);
    return kernels.mask_pairs(staged, kKeyBlock, padded_lanes, padded, kFloor<T>, mask, size);
  }
  std::array<T, kTile> from{};
  std::array<T, kTile> to{};
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    const KeyRange seen = seen_in_block(masks, lane, block);
    from[usize(lane)] = static_cast<T>(seen.first);
    to[usize(lane)] = static_cast<T>(seen.last);
  }
  const bool visible = kernels.mask_ranges(from.data(), to.data(), padded_lanes, padded, mask);
  for (std::int64_t lane = 0; lane < lanes && visible && masks.exclude_self; ++lane) {
    const std::int64_t at = hole(masks, lane, block.first);
    if (at >= 0 && at < padded) {
      mask[at * kTile + lane] = kHidden<T>;
    }
  }
  return visible;
}

template <class T>
bool fill_row_mask(const LaneMasks& masks, std::int64_t lane, const BlockFacts& block, T* mask, T& size,
                   const T* bias) noexcept {
  const auto [from, to] = seen_in_block(masks, lane, block);
  const std::int64_t at = hole(masks, lane, block.first);
  std::fill_n(mask, kKeyBlock, kHidden<T>);
  bool visible = false;
  if (has_pairs(masks)) {
    load_pairs(*masks.pairs, masks.rows[usize(lane)], block.first + from, to - from, mask + from);
    hide(bias, {from, to}, mask);
    for (std::int64_t j = from; j < to; ++j) {
      T& m = mask[j];
      if (j == at || m < std::numeric_limits<T>::lowest()) {
        continue;
      }
      visible = true;
      const T scaled = m * static_cast<T>(simd::kLog2E);
      m = scaled < kFloor<T> ? kFloor<T> : scaled;
      const T grown = std::fabs(m) > size ? std::fabs(m) : size;
      size = std::isfinite(m) && !std::isnan(size) ? grown : std::numeric_limits<T>::quiet_NaN();
    }
  } else {
    std::fill(mask + from, mask + to, T(0));
    visible = from < to;
  }
  if (at >= 0) {
    mask[at] = kHidden<T>;
  }
  return visible;
}

template bool fill_mask<float>(const LaneMasks&, std::int64_t, const BlockFacts&, const BlockView&, float*, float*,
                               float*, const float*) noexcept;
template bool fill_mask<double>(const LaneMasks&, std::int64_t, const BlockFacts&, const BlockView&, double*, double*,
                                double*, const double*) noexcept;
template bool fill_row_mask<float>(const LaneMasks&, std::int64_t, const BlockFacts&, float*, float&,
                                   const float*) noexcept;
template bool fill_row_mask<double>(const LaneMasks&, std::int64_t, const BlockFacts&, double*, double&,
                                    const double*) noexcept;

}  // namespace polyattn::engines
