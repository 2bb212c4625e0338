#include "engines/tuples/exact_join.hpp"

#include "base/checked.hpp"
#include "simd/exact_kernels.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kTile;

/// 2^whole for whole <= 0; 0 below the normal numbers, so that products with it are exact or 0.
double power_of_two(double whole) noexcept {
  return whole < -1021.0
             ? 0.0
             : std::bit_cast<double>(static_cast<std::uint64_t>(1023 + static_cast<std::int64_t>(whole)) << 52U);
}

/// Makes the state relative to 2^max, which is above what it was.
void raise(double max, std::int64_t value_dim, JoinState& state) noexcept {
  if (state.sum != 0.0) {
    const double scale = power_of_two(state.max - max);
    state.sum *= scale;
    for (std::int64_t c = 0; c < value_dim; ++c) {
      state.sums[c] *= scale;
    }
  }
  state.max = max;
}

/// sums[c] += weight[t] values[t][c] accumulator[c][t], t one after the other; Columns chains side by side.
template <std::int64_t Columns>
void add_columns(const double* weight, const JoinLanes& from, std::int64_t first, std::int64_t last,
                 std::int64_t value_dim, std::int64_t c, double* sums) noexcept {
  std::array<double, static_cast<std::size_t>(Columns)> sum;
  std::array<double, static_cast<std::size_t>(Columns)> prefix;
  for (std::int64_t i = 0; i < Columns; ++i) {
    sum[usize(i)] = sums[c + i];
    prefix[usize(i)] = from.prefix_values != nullptr ? from.prefix_values[c + i] : 1.0;
  }
  for (std::int64_t t = first; t < last; ++t) {
    const double* values = from.values + t * value_dim + c;
    for (std::int64_t i = 0; i < Columns; ++i) {
      sum[usize(i)] += weight[t] * prefix[usize(i)] * values[i] * from.accumulator[(c + i) * kTile + t];
    }
  }
  for (std::int64_t i = 0; i < Columns; ++i) {
    sums[c + i] = sum[usize(i)];
  }
}

}  // namespace

void join_lanes(const JoinLanes& from, std::int64_t value_dim, JoinState& state) noexcept {
  double weight[kTile];
  const auto exponent = [&](std::int64_t t) {
    return from.max[t] + from.prefix_power + (from.power != nullptr ? from.power[t] : 0.0);
  };
  for (std::int64_t first = 0; first < from.lanes;) {
    const double top = exponent(first);
    if (top > state.max && std::isfinite(top)) {
      raise(top, value_dim, state);
    }
    // Rows until one of them is above.
    std::int64_t last = first;
    for (; last < from.lanes; ++last) {
      const double e = exponent(last);
      if (last > first && e > state.max && std::isfinite(e)) {
        break;
      }
      const double own = from.prefix_factor * (from.factor != nullptr ? from.factor[last] : 1.0);
      weight[last] = std::isfinite(e) ? own * power_of_two(e - state.max) : std::nan("");
      state.sum += weight[last] * from.sum[last];
    }
    if (from.values == nullptr) {  // a single row
      for (std::int64_t c = 0; c < value_dim; ++c) {
        state.sums[c] += weight[first] * from.accumulator[c * kTile + first];
      }
    } else {
      std::int64_t c = 0;
      for (; c + 4 <= value_dim; c += 4) {
        add_columns<4>(weight, from, first, last, value_dim, c, state.sums);
      }
      for (; c < value_dim; ++c) {
        add_columns<1>(weight, from, first, last, value_dim, c, state.sums);
      }
    }
    first = last;
  }
}

void join_states(const JoinState& later, std::int64_t value_dim, JoinState& state) noexcept {
  if (later.max > state.max) {
    raise(later.max, value_dim, state);
  }
  const double scale = std::isfinite(later.max) ? power_of_two(later.max - state.max) : 1.0;
  state.sum += later.sum * scale;
  for (std::int64_t c = 0; c < value_dim; ++c) {
    state.sums[c] += later.sums[c] * scale;
  }
  state.top = std::max(state.top, later.top);
  state.low = std::min(state.low, later.low);
  state.high = std::max(state.high, later.high);
  state.square = std::isnan(state.square) || state.square >= later.square ? state.square : later.square;
}

}  // namespace polyattn::engines
