#include "engines/problem.hpp"

#include "base/checked.hpp"

#include <iterator>
#include <limits>
#include <vector>

namespace polyattn::engines {
namespace {

using base::usize;

constexpr double kHidden = -std::numeric_limits<double>::infinity();
constexpr std::int64_t kChunk = 128;

/// Narrows `range`, relative to the first of `keys` keys and `row` counted from the first of `rows`.
KeyRange clip(const PositionMask& mask, std::int64_t row, std::int64_t keys, std::int64_t offset) noexcept {
  KeyRange range{0, keys};
  const std::int64_t diagonal = row + offset;
  if (mask.window > 0) {
    range.first = std::clamp<std::int64_t>(diagonal - mask.window + 1, 0, keys);
    range.last = std::clamp<std::int64_t>(diagonal + mask.window, 0, keys);
  }
  if (mask.causal) {
    range.last = std::clamp<std::int64_t>(diagonal + 1, 0, keys);
  }
  range.first = std::min(range.first, range.last);
  return range;
}

}  // namespace

KeyRange PositionMask::range(std::int64_t row, std::int64_t keys) const noexcept {
  if (segments == nullptr) {
    return clip(*this, row, keys, offset);
  }
  const auto& rows_from = segments->query_offsets;
  const auto& keys_from = segments->key_offsets;
  const auto next = std::upper_bound(rows_from.begin(), rows_from.end(), row);
  const auto s = usize(std::distance(rows_from.begin(), next)) - 1;
  const std::int64_t rows_here = rows_from[s + 1] - rows_from[s];
  const std::int64_t keys_here = keys_from[s + 1] - keys_from[s];
  const KeyRange local = clip(*this, row - rows_from[s], keys_here, lower_right ? keys_here - rows_here : 0);
  return {keys_from[s] + local.first, keys_from[s] + local.last};
}

void add_pair_mask(const PairMask& mask, std::int64_t row, std::int64_t first, std::int64_t count,
                   double* out) noexcept {
  if (mask.additive.data != nullptr) {
    const PairAdditive& additive = mask.additive;
    double chunk[kChunk];
    for (std::int64_t j = 0; j < count; j += kChunk) {
      const std::int64_t here = std::min(kChunk, count - j);
      base::load_elements(additive.data, additive.dtype, row * additive.row_stride + (first + j) * additive.key_stride,
                          additive.key_stride, here, chunk);
      for (std::int64_t i = 0; i < here; ++i) {
        // A key hidden already stays hidden, whatever is added.
        out[j + i] = out[j + i] == kHidden ? kHidden : out[j + i] + chunk[i];
      }
    }
  }
  if (mask.boolean.data != nullptr) {
    const std::uint8_t* data = mask.boolean.data + row * mask.boolean.row_stride + first * mask.boolean.key_stride;
    for (std::int64_t j = 0; j < count; ++j) {
      out[j] = data[j * mask.boolean.key_stride] != 0 ? out[j] : kHidden;
    }
  }
}

void load_bias(const HeadProblem& problem, std::int64_t first, std::int64_t count, double* out) noexcept {
  std::fill_n(out, count, 0.0);
  base::load_rows(problem.bias.rows, first, count, out, 1);
  add_pair_mask(problem.bias.shared, 0, first, count, out);
}

bool sees_any_key(const HeadProblem& problem, std::int64_t row) {
  const KeyRange range = problem.range(row);
  const std::int64_t position = problem.position(row);
  std::vector<double> bias(usize(range.size()), 0.0);
  load_bias(problem, range.first, range.size(), bias.data());
  add_pair_mask(problem.pairs, position, range.first, range.size(), bias.data());
  for (std::int64_t j = range.first; j < range.last; ++j) {
    if (bias[usize(j - range.first)] != kHidden && !(problem.mask.exclude_self && j == position)) {
      return true;
    }
  }
  return false;
}

KeyRange seen_keys(const HeadProblem& problem) noexcept {
  const std::int64_t n = problem.n_kv();
  if (problem.mask.from_first()) {
    return {0, n};
  }
  KeyRange seen{n, 0};
  for (std::int64_t i = 0; i < problem.n_q(); ++i) {
    const KeyRange range = problem.range(i);
    if (range.size() > 0) {
      seen = {std::min(seen.first, range.first), std::max(seen.last, range.last)};
    }
  }
  return {std::min(seen.first, seen.last), seen.last};
}

double visible_pairs(const HeadProblem& problem, const RowList& rows) noexcept {
  const std::int64_t count = rows.count(problem.n_q());
  if (problem.mask.prefix() && !problem.mask.causal) {
    return static_cast<double>(count) * static_cast<double>(problem.n_kv());
  }
  if (problem.mask.prefix() && rows.all) {
    // Row i sees c + i keys, c = offset + 1, while that is between 0 and all.
    const std::int64_t keys = problem.n_kv();
    const std::int64_t first = std::clamp<std::int64_t>(-problem.mask.offset, 0, count);  // that sees a key
    const std::int64_t full = std::clamp<std::int64_t>(keys - 1 - problem.mask.offset, first, count);
    const auto some = static_cast<double>(full - first);
    const auto seen = static_cast<double>(problem.mask.visible(first, keys));
    return some * seen + 0.5 * some * (some - 1.0) + static_cast<double>(count - full) * static_cast<double>(keys);
  }
  double pairs = 0.0;
  for (std::int64_t i = 0; i < count; ++i) {
    pairs += static_cast<double>(problem.range(rows.row(i)).size());
  }
  return pairs;
}

}  // namespace polyattn::engines
