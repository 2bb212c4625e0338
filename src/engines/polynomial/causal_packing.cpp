#include "base/checked.hpp"
#include "engines/exact/kernels.hpp"
#include "engines/polynomial/causal_diagonal.hpp"
#include "simd/exact_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

namespace polyattn::engines {

namespace {

using base::usize;
using simd::kKeyBlock;
using simd::kLog2E;
using simd::kPackedRows;
using simd::kRowGroup;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Least log2 weight relative to its block's, as for the biases of the exact engine.
template <class T>
constexpr double kFloor = sizeof(T) == sizeof(float) ? -0x1p120 : -0x1p1000;

}  // namespace

template <class T>
DiagonalKeys<T>::DiagonalKeys(std::int64_t dim, std::int64_t value_dim, std::int64_t block, base::MemoryMeter* memory)
    : keys(base::round_up_to(block, kKeyBlock) * dim, memory),
      values(base::round_up_to(block, kKeyBlock) * value_dim, memory),
      bias(base::round_up_to(block, kKeyBlock), memory),
      offset(usize(base::blocks_of(block, kKeyBlock))) {}

namespace {

/// Log weights in log2 units, relative to a whole number above the block's largest and one above each key block's; and
/// how far they spread.
template <class T>
DiagonalBound pack_weights(const Frame& frame, DiagonalKeys<T>& out) noexcept {
  DiagonalBound spread{0.0, 0.0};
  const double* weights = frame.log_weight.data() + out.first;
  const double largest = *std::max_element(weights, weights + out.count);
  out.visible = largest > -kInfinity;
  out.exponent = out.visible ? std::ceil(largest * kLog2E) : 0.0;
  for (std::size_t b = 0; b < out.offset.size(); ++b) {
    const std::int64_t begin = static_cast<std::int64_t>(b) * kKeyBlock;
    const std::int64_t end = std::min(begin + kKeyBlock, out.count);
    const double high = begin < end ? *std::max_element(weights + begin, weights + end) : -kInfinity;
    double low = high;
    out.offset[b] = -std::numeric_limits<T>::infinity();
    std::fill_n(out.bias.data() + begin, kKeyBlock, -std::numeric_limits<T>::infinity());
    if (!(high > -kInfinity)) {
      continue;
    }
    out.offset[b] = static_cast<T>(std::max(std::ceil(high * kLog2E - out.exponent), kFloor<T>));
    for (std::int64_t j = begin; j < end; ++j) {
      low = weights[j] < low && weights[j] != -kInfinity ? weights[j] : low;
      const double relative = weights[j] * kLog2E - (out.exponent + static_cast<double>(out.offset[b]));
      out.bias[usize(j)] = static_cast<T>(weights[j] == -kInfinity ? -kInfinity : std::max(relative, kFloor<T>));
    }
    spread.range = std::max(spread.range, largest - low);
    spread.spread = std::max(spread.spread, high - low);
  }
  return spread;
}

/// Whether a bound for `known` is one for `wanted`, and not far off.
bool covers(const DiagonalBound& known, const DiagonalBound& wanted) noexcept {
  const auto close = [](double have, double want) { return want <= have && (want > 0.5 * have || have <= 1.0); };
  return close(known.range, wanted.range) && close(known.spread, wanted.spread);
}

/// Coordinates, from columns of keys to groups of kRowGroup keys side by side.
template <class T, class R>
void pack_coordinates(const MomentScratch<R>& loaded, std::int64_t dim, std::int64_t count, DiagonalKeys<T>& out) {
  for (std::int64_t group = 0; group < base::round_up_to(count, kRowGroup); group += kRowGroup) {
    for (std::int64_t l = 0; l < dim; ++l) {
      const R* from = loaded.x.data() + l * loaded.tokens + group;
      T* to = out.keys.data() + group * dim + l * kRowGroup;
      for (std::int64_t i = 0; i < kRowGroup; ++i) {
        to[i] = static_cast<T>(from[i]);
      }
    }
  }
}

/// Columns [first, first + width) of kKeyBlock values, to rows of `width`.
template <class T, class R>
void pack_columns(const R* columns, std::int64_t stride, std::int64_t width, T factor, T* out) noexcept {
  for (std::int64_t c = 0; c < width; ++c) {
    const R* from = columns + c * stride;
    for (std::int64_t j = 0; j < kKeyBlock; ++j) {
      out[j * width + c] = static_cast<T>(from[j]) * factor;
    }
  }
}

/// Centred values, from columns to ExactBlock::values. What the exact engine does to keys, rows to groups of kRowGroup
/// side by side, does the same to kPackedRows columns at a time.
template <class T, class R>
void pack_values(const MomentScratch<R>& loaded, std::int64_t value_dim, const DiagonalModel<T>& model,
                 DiagonalKeys<T>& out) {
  const std::int64_t whole = value_dim / kRowGroup * kRowGroup;
  for (std::int64_t block = 0; block < out.count; block += kKeyBlock) {
    const R* columns = loaded.centred.data() + block;
    T* values = out.values.data() + block * value_dim;
    std::int64_t c = 0;
    if constexpr (std::is_same_v<T, R>) {
      for (; model.value_factor == T(1) && c + kPackedRows <= whole; c += kPackedRows) {
        exact_kernels<T>().interleave(columns + c * loaded.tokens, loaded.tokens, kKeyBlock, values + c * kKeyBlock);
      }
    }
    for (; c < value_dim; c += kRowGroup) {
      pack_columns(columns + c * loaded.tokens, loaded.tokens, std::min<std::int64_t>(kRowGroup, value_dim - c),
                   model.value_factor, values + c * kKeyBlock);
    }
  }
}

}  // namespace

template <class T, class R>
void pack_diagonal(const Frame& frame, const DiagonalModel<T>& model, const DiagonalBound& known, std::int64_t first,
                   std::int64_t count, const MomentScratch<R>& loaded, DiagonalKeys<T>& out) {
  out.first = first;
  out.count = count;
  const DiagonalBound spread = pack_weights(frame, out);
  out.bound = known;
  if (!out.visible) {
    return;
  }
  if (!covers(known, spread)) {
    out.bound = bound_diagonal(model, std::max(1.2 * spread.range, 1.0), std::max(1.2 * spread.spread, 1.0));
  }
  pack_coordinates(loaded, frame.dim(), count, out);
  pack_values(loaded, static_cast<std::int64_t>(model.statistics.value_min.size()), model, out);
}

template struct DiagonalKeys<float>;
template struct DiagonalKeys<double>;
template void pack_diagonal<float, float>(const Frame&, const DiagonalModel<float>&, const DiagonalBound&, std::int64_t,
                                          std::int64_t, const MomentScratch<float>&, DiagonalKeys<float>&);
template void pack_diagonal<float, double>(const Frame&, const DiagonalModel<float>&, const DiagonalBound&,
                                           std::int64_t, std::int64_t, const MomentScratch<double>&,
                                           DiagonalKeys<float>&);
template void pack_diagonal<double, double>(const Frame&, const DiagonalModel<double>&, const DiagonalBound&,
                                            std::int64_t, std::int64_t, const MomentScratch<double>&,
                                            DiagonalKeys<double>&);

}  // namespace polyattn::engines
