#include "engines/exact/key_packer.hpp"

#include "base/checked.hpp"
#include "engines/exact/kernels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kKeyBlock;
using simd::kPadding;
using simd::kRowGroup;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Covers the at most 2^20 + 4 roundings behind a norm.
constexpr double kSlack = 1 + 0x1p-30;

template <class T>
constexpr T kMost = std::numeric_limits<T>::infinity();

template <class T>
bool all_finite(const T* x, std::int64_t count) noexcept {
  return std::all_of(x, x + count, [](T value) { return std::isfinite(value); });
}

}  // namespace

template <class T, class Source>
KeyPacker<T, Source>::KeyPacker(const Source& source, std::int64_t count, std::int64_t dim, std::int64_t value_dim,
                                const KeyRange& seen)
    : source_(source),
      count_(count),
      dim_(dim),
      value_dim_(value_dim),
      seen_(seen),
      key_stride_(base::round_up_to(dim, kPadding)),
      value_stride_(base::round_up_to(value_dim, kPadding)),
      key_rows_(kRowGroup * key_stride_, T(0), nullptr),
      value_rows_(kRowGroup * value_stride_, T(0), nullptr),
      key_min_(key_stride_, kMost<T>, nullptr),
      key_max_(key_stride_, -kMost<T>, nullptr),
      value_min_(value_stride_, kMost<T>, nullptr),
      value_max_(value_stride_, -kMost<T>, nullptr),
      unused_(kPadding, kMost<T>, nullptr),
      smallest_value_(kPadding, kMost<T>, nullptr) {}

/// Statistics of staged row r, visible key j, while it is in cache.
template <class T, class Source>
void KeyPacker<T, Source>::note(std::int64_t j, std::int64_t r, BlockFinite& block) {
  const simd::ExactKernels<T>& kernels = exact_kernels<T>();
  const T* key = key_rows_.data() + r * key_stride_;
  const T* value = value_rows_.data() + r * value_stride_;
  const double key_square = kernels.measure_row(key, key_stride_, key_min_.data(), key_max_.data(), unused_.data());
  const double value_square =
      kernels.measure_row(value, value_stride_, value_min_.data(), value_max_.data(), smallest_value_.data());
  max_square_ = std::max(max_square_, key_square);
  // A square may overflow although its root is finite.
  if (!std::isfinite(key_square) && !all_finite(key, key_stride_)) {
    block.all = false;
    source_.inspect(0, j, bad_);
  }
  if (!std::isfinite(value_square) && !all_finite(value, value_stride_)) {
    block = {false, false};
    source_.inspect(1, j, bad_);
  }
}

/// Writes eight staged rows of values into their column groups.
template <class T, class Source>
void KeyPacker<T, Source>::pack_values(std::int64_t row_in_block, T* values) const noexcept {
  const std::int64_t whole = value_dim_ / kRowGroup * kRowGroup;
  const std::int64_t rest = value_dim_ - whole;
  for (std::int64_t r = 0; r < kRowGroup; ++r) {
    const T* row = value_rows_.data() + r * value_stride_;
    const std::int64_t j = row_in_block + r;
    for (std::int64_t c = 0; c < whole; c += kRowGroup) {
      std::copy_n(row + c, kRowGroup, values + c * kKeyBlock + j * kRowGroup);
    }
    std::copy_n(row + whole, rest, values + whole * kKeyBlock + j * rest);
  }
}

template <class T, class Source>
BlockFinite KeyPacker<T, Source>::pack(std::int64_t b, const PackedBias<T>& biases, T* keys, T* values) {
  const simd::ExactKernels<T>& kernels = exact_kernels<T>();
  const T* bias = biases.block(b);
  const std::int64_t in_block = std::min(count_ - b * kKeyBlock, static_cast<std::int64_t>(kKeyBlock));
  const std::int64_t groups = base::blocks_of(in_block, kRowGroup);
  if (groups < kKeyBlock / kRowGroup) {  // what no kernel reads is defined all the same
    std::fill_n(values, kKeyBlock * value_dim_, T(0));
    std::fill_n(keys, kKeyBlock * dim_, T(0));
  }
  BlockFinite finite;
  for (std::int64_t group = 0; group < groups; ++group) {
    const std::int64_t first = b * kKeyBlock + group * kRowGroup;
    const auto hidden = [&](std::int64_t r) {
      return bias[group * kRowGroup + r] == -kMost<T> || first + r < seen_.first || first + r >= seen_.last;
    };
    for (std::int64_t r = 0; r < kRowGroup;) {
      T* key = key_rows_.data() + r * key_stride_;
      T* value = value_rows_.data() + r * value_stride_;
      if (hidden(r)) {
        std::fill_n(key, key_stride_, T(0));
        std::fill_n(value, value_stride_, T(0));
        ++r;
        continue;
      }
      std::int64_t end = r + 1;
      while (end < kRowGroup && !hidden(end)) {
        ++end;
      }
      source_.load(first + r, end - r, key, key_stride_, value, value_stride_);
      for (; r < end; ++r) {
        note(first + r, r, finite);
      }
    }
    kernels.interleave(key_rows_.data(), key_stride_, dim_, keys + group * kRowGroup * dim_);
    pack_values(group * kRowGroup, values);
  }
  finite_ = finite_ && finite.all;
  return finite;
}

template <class T, class Source>
void KeyPacker<T, Source>::prepare(KeyStatistics& statistics, std::int64_t dim, std::int64_t value_dim) {
  statistics.key_min.assign(usize(dim), kInfinity);
  statistics.key_max.assign(usize(dim), -kInfinity);
  statistics.value_min.assign(usize(value_dim), kInfinity);
  statistics.value_max.assign(usize(value_dim), -kInfinity);
}

template <class T, class Source>
void KeyPacker<T, Source>::merge_into(KeyStatistics& statistics) const {
  const auto fold = [](std::vector<double>& into, const base::Buffer<T>& part, bool larger) {
    for (std::size_t i = 0; i < into.size(); ++i) {
      const auto x = static_cast<double>(part[i]);
      into[i] = larger ? std::max(into[i], x) : std::min(into[i], x);
    }
  };
  fold(statistics.key_min, key_min_, false);
  fold(statistics.key_max, key_max_, true);
  fold(statistics.value_min, value_min_, false);
  fold(statistics.value_max, value_max_, true);
  for (const T smallest : smallest_value_.span()) {
    statistics.smallest_value = std::min(statistics.smallest_value, static_cast<double>(smallest));
  }
  statistics.finite = statistics.finite && finite_;
  // 2^-1000 stands for each square that underflowed.
  const double norm = std::sqrt(max_square_ + 0x1p-1000 * static_cast<double>(dim_)) * kSlack;
  statistics.max_norm = std::max(statistics.max_norm, norm);
}

template <class T, class Source>
std::int64_t KeyPacker<T, Source>::bytes(std::int64_t dim, std::int64_t value_dim) noexcept {
  const std::int64_t columns = base::round_up_to(dim, kPadding) + base::round_up_to(value_dim, kPadding);
  return static_cast<std::int64_t>(sizeof(T)) * (columns * (kRowGroup + 2) + 2 * kPadding);
}

template class KeyPacker<float, ProblemSource<float>>;
template class KeyPacker<double, ProblemSource<double>>;
template class KeyPacker<float, MatrixSource<float>>;
template class KeyPacker<double, MatrixSource<double>>;

}  // namespace polyattn::engines
