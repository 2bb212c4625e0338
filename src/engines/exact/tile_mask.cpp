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

/// Natural units; keys [first, first + count) of row `row`. Unit strides go without conversion.
template <class T>
void load_pairs(const PairMask& pairs, std::int64_t row, std::int64_t first, std::int64_t count, T* out) noexcept {
  const PairAdditive& additive = pairs.additive;
  if (additive.data != nullptr) {
    base::load_elements(additive.data, additive.dtype, row * additive.row_stride + first * additive.key_stride,
                        additive.key_stride, count, out);
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

/// A block of a row's mask, `ahead` keys on, will be wanted soon.
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

bool has_pairs(const LaneMasks& masks) noexcept { return masks.pairs != nullptr && masks.pairs->any(); }

}  // namespace

BlockView view_block(const LaneMasks& masks, std::int64_t lanes, std::int64_t first, std::int64_t count) noexcept {
  const bool by_range = !has_pairs(masks) && !masks.exclude_self;
  if (by_range && masks.common.first <= first && first + count <= masks.common.last) {
    return {0, count, true};
  }
  BlockView view{count, 0, !has_pairs(masks)};
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    const KeyRange& range = masks.ranges[usize(lane)];
    const std::int64_t from = std::clamp<std::int64_t>(range.first - first, 0, count);
    const std::int64_t to = std::clamp<std::int64_t>(range.last - first, 0, count);
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
               T* mask, T* size) noexcept {
  const simd::ExactKernels<T>& kernels = exact_kernels<T>();
  const std::int64_t padded = base::round_up_to(view.last, kRowGroup);
  const std::int64_t padded_lanes = base::round_up_to(lanes, simd::kPadding);
  bool visible = true;
  const bool pairs = has_pairs(masks);
  if (pairs) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      T* row = staged + lane * kKeyBlock;
      load_pairs(*masks.pairs, masks.rows[usize(lane)], block.first, view.last, row);
      std::fill(row + view.last, row + padded, kHidden<T>);
      prefetch_pairs(*masks.pairs, masks.rows[usize(lane)], block.first + kKeyBlock);
    }
    std::fill(staged + lanes * kKeyBlock, staged + padded_lanes * kKeyBlock, kHidden<T>);
    visible = kernels.mask_pairs(staged, kKeyBlock, padded_lanes, padded, kFloor<T>, mask, size);
  }
  std::array<T, kTile> from{};
  std::array<T, kTile> to{};
  bool partial = !pairs;
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    const KeyRange& range = masks.ranges[usize(lane)];
    from[usize(lane)] = static_cast<T>(std::clamp<std::int64_t>(range.first - block.first, 0, block.count));
    to[usize(lane)] = static_cast<T>(std::clamp<std::int64_t>(range.last - block.first, 0, block.count));
    partial = partial || range.first > block.first || range.last < block.first + block.count;
  }
  if (visible && partial) {
    visible = kernels.mask_ranges(from.data(), to.data(), padded_lanes, padded, !pairs, mask);
  }
  for (std::int64_t lane = 0; lane < lanes && visible && masks.exclude_self; ++lane) {
    const std::int64_t at = hole(masks, lane, block.first);
    if (at >= 0 && at < padded) {
      mask[at * kTile + lane] = kHidden<T>;
    }
  }
  return visible;
}

template <class T>
bool fill_row_mask(const LaneMasks& masks, std::int64_t lane, const BlockFacts& block, T* mask, T& size) noexcept {
  const KeyRange& range = masks.ranges[usize(lane)];
  const std::int64_t from = std::clamp<std::int64_t>(range.first - block.first, 0, block.count);
  const std::int64_t to = std::clamp<std::int64_t>(range.last - block.first, from, block.count);
  std::fill_n(mask, kKeyBlock, kHidden<T>);
  bool visible = false;
  if (has_pairs(masks)) {
    load_pairs(*masks.pairs, masks.rows[usize(lane)], block.first + from, to - from, mask + from);
    for (std::int64_t j = from; j < to; ++j) {
      T& m = mask[j];
      if (m < std::numeric_limits<T>::lowest()) {
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
  const std::int64_t at = hole(masks, lane, block.first);
  if (at >= 0) {
    mask[at] = kHidden<T>;
  }
  return visible;
}

template bool fill_mask<float>(const LaneMasks&, std::int64_t, const BlockFacts&, const BlockView&, float*, float*,
                               float*) noexcept;
template bool fill_mask<double>(const LaneMasks&, std::int64_t, const BlockFacts&, const BlockView&, double*, double*,
                                double*) noexcept;
template bool fill_row_mask<float>(const LaneMasks&, std::int64_t, const BlockFacts&, float*, float&) noexcept;
template bool fill_row_mask<double>(const LaneMasks&, std::int64_t, const BlockFacts&, double*, double&) noexcept;

}  // namespace polyattn::engines
