#include "engines/polynomial/causal_diagonal.hpp"

#include "base/checked.hpp"
#include "engines/exact/certificate.hpp"
#include "engines/exact/kernels.hpp"
#include "numerics/rounding.hpp"
#include "simd/exact_kernels.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace polyattn::engines {

namespace {

using base::usize;
using numerics::kU64;
using simd::kKeyBlock;
using simd::kLog2E;
using simd::kRowGroup;
using simd::kTile;

/// Rows of a tile, two vectors: fewer than it has room for, so that they divide a block of rows and see less of what is
/// masked.
template <class T>
constexpr std::int64_t kLanes = 128 / static_cast<std::int64_t>(sizeof(T));
/// Values beyond it are packed smaller, so that their sums stay finite.
template <class T>
constexpr double kLargest = sizeof(T) == sizeof(float) ? 0x1p100 : 0x1p1000;

}  // namespace

template <class T>
DiagonalModel<T> diagonal_model(const Frame& frame, const ValueRange& values, std::int64_t block) {
  DiagonalModel<T> model;
  KeyStatistics& statistics = model.statistics;
  statistics.keys = statistics.visible = block;
  statistics.values_exact = false;
  for (std::int64_t l = 0; l < frame.dim(); ++l) {
    const double z = frame.z[usize(l)];
    model.query_factor.push_back(z * kLog2E / frame.query_scale[usize(l)]);
    model.packed_query = std::max(model.packed_query, std::fabs(z) * kLog2E * (1.0 + 1e-6));
    statistics.key_min.push_back(-1.001);  // |x| <= 1, rounded
    statistics.key_max.push_back(1.001);
  }
  model.size = frame.radius * kLog2E * (1.0 + 1e-6);
  for (std::size_t c = 0; c < values.low.size(); ++c) {
    // v - mu rounded to float64 and to T.
    const double scale = std::max(std::fabs(values.low[c]), std::fabs(values.high[c])) + std::fabs(values.centre[c]);
    const double size = std::max(values.high[c] - values.centre[c], values.centre[c] - values.low[c]);
    const double slack = 4.0 * kU64 * scale + 1.01 * (sizeof(T) == sizeof(float) ? numerics::kU32 : kU64) * size +
                         static_cast<double>(std::numeric_limits<T>::min());
    statistics.value_min.push_back(values.low[c] - values.centre[c] - slack);
    statistics.value_max.push_back(values.high[c] - values.centre[c] + slack);
  }
  model.largest = statistics.largest_value();
  model.value_factor = model.largest > kLargest<T> ? T(0x1p-32) : T(1);
  return model;
}

namespace {

/// Of any row whose largest score, weight included, is at least `row_max` in log2 units.
template <class T>
DiagonalBound bound_of(const DiagonalModel<T>& model, double range, double spread, double row_max) {
  KeyStatistics statistics = model.statistics;
  statistics.bias_min = -range;
  statistics.bias_max = 0.0;
  statistics.bias_spread = spread;
  HeadScore score;
  score.kind = ScoreKind::dot;
  score.scale = 1.0;
  const auto dim = static_cast<std::int64_t>(model.query_factor.size());
  const RowCertifier<T> certifier(score, dim, statistics, 0.0, false, DType::float64);
  RowMeasures worst;
  worst.keys = statistics.keys;
  worst.size = model.size;
  worst.packed_query = model.packed_query;
  worst.row_max = row_max;
  worst.clipped = false;
  const ExactBound bound = certifier.certify(worst, false);
  // Beside the exact engine's: one more term of the sum over degrees, at most 64 of them.
  constexpr double kSteps = 128.0;
  return {range, spread, bound.rounding, (std::expm1(bound.lse) + kSteps * kU64) * (1.0 + 1e-12)};
}

}  // namespace

template <class T>
DiagonalBound bound_diagonal(const DiagonalModel<T>& model, double range, double spread) {
  return bound_of(model, range, spread, -(model.size + range * kLog2E + 1.0) * (1.0 + 1e-6));
}

template <class T>
DiagonalBound bound_whole_block(const DiagonalModel<T>& model, double range) {
  // The largest weight is above half the unit, its score at least -size.
  return bound_of(model, range, range, -(model.size + 2.0) * (1.0 + 1e-6));
}

template <class T>
DiagonalRows<T>::DiagonalRows(std::int64_t dim, std::int64_t value_dim, std::int64_t block, base::MemoryMeter* memory)
    : exponent(block, memory),
      sum(block, memory),
      queries(kTile * dim, T(0), memory),
      state(kTile * (value_dim + 3), memory),
      mask(2 * kTile * kKeyBlock, memory),
      scratch(kTile * kKeyBlock, memory) {}

namespace {

/// How many keys of the block the rows of a tile see: lane i the leading min(max(first + i, 0), count).
struct Staircase {
  std::int64_t first = 0;
  std::int64_t lanes = 0;
  std::int64_t count = 0;

  [[nodiscard]] std::int64_t seen(std::int64_t lane) const noexcept {
    return std::clamp<std::int64_t>(first + lane, 0, count);
  }
  [[nodiscard]] std::int64_t least() const noexcept { return seen(0); }
  [[nodiscard]] std::int64_t most() const noexcept { return lanes > 0 ? seen(lanes - 1) : 0; }
};

/// Rows [begin, begin + kLanes) of a block as queries of the tile.
template <class T, class R>
void load_tile(const DiagonalModel<T>& model, const RowBlock<R>& rows, std::int64_t begin,
               DiagonalRows<T>& out) noexcept {
  for (std::size_t l = 0; l < model.query_factor.size(); ++l) {
    const double factor = model.query_factor[l];
    const double* centred = rows.centred.data() + static_cast<std::int64_t>(l) * rows.block + begin;
    T* query = out.queries.data() + static_cast<std::int64_t>(l) * kTile;
    for (std::int64_t i = 0; i < kLanes<T>; ++i) {
      query[i] = static_cast<T>(rows.inside[begin + i] != 0.0 ? centred[i] * factor : 0.0);
    }
  }
}

/// A mask for `keys` keys from key `begin` of the kernel's block on, `first` of them seen by lane 0, one more by each
/// lane that follows; it is kept, for most tiles of a head need the same. Returns where the mask of key 0 would be.
template <class T>
const T* staircase_mask(const simd::ExactKernels<T>& kernels, std::int64_t first, std::int64_t begin, std::int64_t keys,
                        DiagonalRows<T>& out) noexcept {
  T* mask = out.mask.data() + kKeyBlock * kTile;
  if (first != out.mask_first || keys > out.mask_keys) {
    std::array<T, kTile> from{};
    std::array<T, kTile> to{};
    for (std::int64_t i = 0; i < kLanes<T>; ++i) {
      to[usize(i)] = static_cast<T>(std::clamp<std::int64_t>(first + i, 0, kKeyBlock));
    }
    kernels.mask_ranges(from.data(), to.data(), kLanes<T>, keys, mask);
    out.mask_first = first;
    out.mask_keys = keys;
  }
  return mask - begin * kTile;
}

/// One key block of the kernel into the tile's state: groups that all rows see whole without a mask, the others with
/// one. That is one more joining of sums for each block of 128 keys, and at least 8 additions less in each part: with
/// at most eight blocks no more roundings than the exact engine's bound counts.
template <class T>
void absorb_keys(const simd::ExactKernels<T>& kernels, const DiagonalModel<T>& model, const DiagonalKeys<T>& keys,
                 std::int64_t b, std::int64_t value_dim, const Staircase& visible, DiagonalRows<T>& out) noexcept {
  const auto dim = static_cast<std::int64_t>(model.query_factor.size());
  const std::int64_t first = b * kKeyBlock;
  const std::int64_t last = std::min<std::int64_t>(kKeyBlock, visible.most() - first);
  const std::int64_t groups = base::blocks_of(last, kRowGroup);
  const std::int64_t common = std::clamp<std::int64_t>(visible.least() - first, 0, last);
  // The last group of the keys is filled up with hidden ones.
  const std::int64_t whole = first + common == keys.count ? groups : common / kRowGroup;
  T* state = out.state.data();
  const auto absorb = [&](std::int64_t from, std::int64_t to, const T* mask) {
    kernels.absorb({keys.keys.data() + first * dim, keys.values.data() + first * value_dim, keys.bias.data() + first,
                    keys.offset[usize(b)], from, to},
                   {dim,
                    value_dim,
                    kLanes<T>,
                    simd::TileScore::dot,
                    out.queries.data(),
                    nullptr,
                    {},
                    mask,
                    false,
                    true,
                    out.scratch.data()},
                   {state, state + kTile, state + 2 * kTile, state + 3 * kTile});
  };
  if (whole > 0) {
    absorb(0, whole, nullptr);
  }
  if (whole < groups) {
    const std::int64_t begin = whole * kRowGroup;
    // Beyond the keys of the block a mask may show what it likes: their weight is 0.
    absorb(whole, groups,
           staircase_mask(kernels, visible.first - first - begin, begin, groups * kRowGroup - begin, out));
  }
}

}  // namespace

template <class T, class R>
void sum_diagonal(const HeadProblem& problem, const FeatureList& features, const DiagonalModel<T>& model,
                  const DiagonalKeys<T>& keys, RowBlock<R>& rows, DiagonalRows<T>& out) noexcept {
  const std::int64_t value_dim = problem.value_dim();
  // Row i sees first + i keys of the block, and all of them without a causal mask.
  const std::int64_t first = problem.mask.causal ? problem.mask.offset + 1 - keys.first : keys.count;
  const simd::ExactKernels<T>& kernels = exact_kernels<T>();
  double* part = rows.sums.data() + (features.degree() + 1) * features.columns() * rows.block;
  for (std::int64_t begin = 0; begin < rows.block; begin += kLanes<T>) {
    const std::int64_t lanes = std::clamp<std::int64_t>(rows.count - begin, 0, kLanes<T>);
    const Staircase visible{rows.first + begin + first, lanes, keys.count};
    const std::int64_t longest = keys.visible ? visible.most() : 0;
    if (longest > 0) {
      load_tile(model, rows, begin, out);
    }
    T* state = out.state.data();
    std::fill(out.state.begin(), out.state.end(), T(0));
    std::fill_n(state, kTile, std::numeric_limits<T>::lowest());
    std::fill_n(state + kTile, kTile, -std::numeric_limits<T>::infinity());
    for (std::int64_t b = 0; b * kKeyBlock < longest; ++b) {
      if (keys.offset[usize(b)] > -std::numeric_limits<T>::infinity()) {
        absorb_keys(kernels, model, keys, b, value_dim, visible, out);
      }
    }
    for (std::int64_t i = 0; i < kLanes<T>; ++i) {
      const auto sum = static_cast<double>(state[2 * kTile + i]);
      out.sum[usize(begin + i)] = sum;
      out.exponent[usize(begin + i)] = sum > 0.0 ? keys.exponent + static_cast<double>(state[i]) : 0.0;
    }
    for (std::int64_t c = 0; c < value_dim; ++c) {
      const T* sums = state + (3 + c) * kTile;
      double* to = part + c * rows.block + begin;
      for (std::int64_t i = 0; i < kLanes<T>; ++i) {
        to[i] = static_cast<double>(sums[i]);
      }
    }
  }
}

template struct DiagonalModel<float>;
template struct DiagonalModel<double>;
template DiagonalModel<float> diagonal_model<float>(const Frame&, const ValueRange&, std::int64_t);
template DiagonalModel<double> diagonal_model<double>(const Frame&, const ValueRange&, std::int64_t);
template DiagonalBound bound_diagonal<float>(const DiagonalModel<float>&, double, double);
template DiagonalBound bound_diagonal<double>(const DiagonalModel<double>&, double, double);
template DiagonalBound bound_whole_block<float>(const DiagonalModel<float>&, double);
template DiagonalBound bound_whole_block<double>(const DiagonalModel<double>&, double);
template struct DiagonalRows<float>;
template struct DiagonalRows<double>;
template void sum_diagonal<float, float>(const HeadProblem&, const FeatureList&, const DiagonalModel<float>&,
                                         const DiagonalKeys<float>&, RowBlock<float>&, DiagonalRows<float>&) noexcept;
template void sum_diagonal<float, double>(const HeadProblem&, const FeatureList&, const DiagonalModel<float>&,
                                          const DiagonalKeys<float>&, RowBlock<double>&, DiagonalRows<float>&) noexcept;
template void sum_diagonal<double, double>(const HeadProblem&, const FeatureList&, const DiagonalModel<double>&,
                                           const DiagonalKeys<double>&, RowBlock<double>&,
                                           DiagonalRows<double>&) noexcept;

}  // namespace polyattn::engines
