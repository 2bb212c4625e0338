#include "base/checked.hpp"
#include "engines/exact/kernels.hpp"
#include "engines/polynomial/causal_diagonal.hpp"
#include "simd/exact_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

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
      offset(usize(base::blocks_of(block, kKeyBlock))),
      coordinates(base::round_up_to(block, kKeyBlock) * dim, memory),
      rows(kPackedRows * base::round_up_to(value_dim, kPackedRows), T(0), memory) {}

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

/// Centred values of kPackedRows keys from `first` on, loaded as `Loaded`, which holds them exactly.
template <class Loaded, class T>
void centre_rows(const HeadProblem& problem, const Frame& frame, const ValueRange& values, T factor, std::int64_t first,
                 std::int64_t count, std::vector<Loaded>& loaded, T* rows, std::int64_t stride) {
  const std::int64_t value_dim = problem.value_dim();
  loaded.resize(usize(kPackedRows * value_dim));
  base::load_rows(problem.values, first, count, loaded.data(), value_dim);
  for (std::int64_t r = 0; r < kPackedRows; ++r) {
    T* row = rows + r * stride;
    if (r >= count || frame.log_weight[usize(first + r)] == -kInfinity) {
      std::fill_n(row, value_dim, T(0));
      continue;
    }
    const Loaded* from = loaded.data() + r * value_dim;
    for (std::int64_t c = 0; c < value_dim; ++c) {
      row[c] = static_cast<T>(static_cast<double>(from[c]) - values.centre[usize(c)]) * factor;
    }
  }
}

template <class T>
void pack_values(const HeadProblem& problem, const Frame& frame, const ValueRange& values,
                 const DiagonalModel<T>& model, DiagonalKeys<T>& out) {
  const std::int64_t value_dim = problem.value_dim();
  const std::int64_t stride = base::round_up_to(value_dim, kPackedRows);
  const simd::ExactKernels<T>& kernels = exact_kernels<T>();
  const bool narrow = base::fits_float32(problem.values);
  for (std::int64_t group = 0; group < base::round_up_to(out.count, kPackedRows); group += kPackedRows) {
    const std::int64_t first = out.first + group;
    const std::int64_t here = std::min<std::int64_t>(kPackedRows, out.count - group);
    if (narrow) {
      centre_rows(problem, frame, values, model.value_factor, first, here, out.narrow, out.rows.data(), stride);
    } else {
      centre_rows(problem, frame, values, model.value_factor, first, here, out.scratch, out.rows.data(), stride);
    }
    kernels.pack_values(out.rows.data(), stride, value_dim, group % kKeyBlock,
                        out.values.data() + group / kKeyBlock * kKeyBlock * value_dim);
  }
}

}  // namespace

template <class T>
void pack_diagonal(const HeadProblem& problem, const Frame& frame, const ValueRange& values,
                   const DiagonalModel<T>& model, const DiagonalBound& known, std::int64_t first, std::int64_t count,
                   DiagonalKeys<T>& out) {
  const std::int64_t dim = frame.dim();
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
  const std::int64_t padded = base::round_up_to(count, kPackedRows);
  if (padded != count) {
    std::fill(out.coordinates.begin(), out.coordinates.end(), T(0));
  }
  load_key_coordinates(problem, frame, first, count, out.coordinates.data(), padded, out.scratch);
  for (std::int64_t group = 0; group < padded; group += kRowGroup) {
    for (std::int64_t l = 0; l < dim; ++l) {
      std::copy_n(out.coordinates.data() + l * padded + group, kRowGroup,
                  out.keys.data() + group * dim + l * kRowGroup);
    }
  }
  pack_values(problem, frame, values, model, out);
}

template struct DiagonalKeys<float>;
template struct DiagonalKeys<double>;
template void pack_diagonal<float>(const HeadProblem&, const Frame&, const ValueRange&, const DiagonalModel<float>&,
                                   const DiagonalBound&, std::int64_t, std::int64_t, DiagonalKeys<float>&);
template void pack_diagonal<double>(const HeadProblem&, const Frame&, const ValueRange&, const DiagonalModel<double>&,
                                    const DiagonalBound&, std::int64_t, std::int64_t, DiagonalKeys<double>&);

}  // namespace polyattn::engines
