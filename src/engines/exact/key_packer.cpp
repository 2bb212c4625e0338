#include "engines/exact/key_packer.hpp"

#include "base/checked.hpp"
#include "engines/exact/kernels.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kKeyBlock;
using simd::kPackedRows;
using simd::kPadding;

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
      kernels_(exact_kernels<T>()),
      key_rows_(kPackedRows * key_stride_, T(0), nullptr),
      value_rows_(kPackedRows * value_stride_, T(0), nullptr),
      key_min_(key_stride_, kMost<T>, nullptr),
      key_max_(key_stride_, -kMost<T>, nullptr),
      value_min_(value_stride_, kMost<T>, nullptr),
      value_max_(value_stride_, -kMost<T>, nullptr),
      value_sum_(value_stride_, T(0), nullptr),
      smallest_value_(kPadding, kMost<T>, nullptr) {}

/// Statistics of `count` rows, visible keys from j on, while they are in cache.
template <class T, class Source>
void KeyPacker<T, Source>::note(std::int64_t j, std::int64_t count, const Rows& keys, const Rows& values,
                                BlockFinite& block) {
  std::array<double, kPackedRows> squares;
  kernels_.squares(keys.data, keys.stride, count, key_stride_, squares.data());
  const bool key_ranges =
      kernels_.ranges(keys.data, keys.stride, count, key_stride_, {key_min_.data(), key_max_.data(), nullptr, nullptr});
  const bool value_ranges =
      kernels_.ranges(values.data, values.stride, count, value_stride_,
                      {value_min_.data(), value_max_.data(), smallest_value_.data(), value_sum_.data()});
  for (std::int64_t r = 0; r < count; ++r) {
    max_square_ = std::max(max_square_, squares[usize(r)]);
    if (!key_ranges && !all_finite(keys.data + r * keys.stride, dim_)) {
      block.all = false;
      source_.inspect(0, j + r, bad_);
    }
    if (!value_ranges && !all_finite(values.data + r * values.stride, value_dim_)) {
      block = {false, false};
      source_.inspect(1, j + r, bad_);
    }
  }
}

/// Rows as they lie in memory, if they can be used so.
template <class T, class Source>
bool KeyPacker<T, Source>::lie_ready(std::int64_t first, Rows& keys, Rows& values) const noexcept {
  if (key_stride_ != dim_ || value_stride_ != value_dim_ || dim_ == 0 || value_dim_ == 0) {
    return false;
  }
  keys.data = source_.keys_at(first);
  values.data = source_.values_at(first);
  if (keys.data == nullptr || values.data == nullptr) {
    return false;
  }
  keys.stride = source_.key_stride();
  values.stride = source_.value_stride();
  return true;
}

template <class T, class Source>
BlockFinite KeyPacker<T, Source>::pack(std::int64_t b, const PackedBias<T>& biases, T* keys, T* values) {
  const T* bias = biases.block(b);
  const std::int64_t in_block = std::min(count_ - b * kKeyBlock, static_cast<std::int64_t>(kKeyBlock));
  BlockFinite finite;
  for (std::int64_t group = 0; group < kKeyBlock; group += kPackedRows) {
    const std::int64_t first = b * kKeyBlock + group;
    const auto hidden = [&](std::int64_t r) {
      return group + r >= in_block || bias[group + r] == -kMost<T> || first + r < seen_.first ||
             first + r >= seen_.last;
    };
    const bool whole =
        group + kPackedRows <= in_block && biases.none() && first >= seen_.first && first + kPackedRows <= seen_.last;
    Rows from_keys{};
    Rows from_values{};
    if (whole && lie_ready(first, from_keys, from_values)) {
      note(first, kPackedRows, from_keys, from_values, finite);
    } else {
      from_keys = {key_rows_.data(), key_stride_};
      from_values = {value_rows_.data(), value_stride_};
      for (std::int64_t r = 0; r < kPackedRows;) {
        T* key = key_rows_.data() + r * key_stride_;
        T* value = value_rows_.data() + r * value_stride_;
        if (hidden(r)) {
          std::fill_n(key, key_stride_, T(0));
          std::fill_n(value, value_stride_, T(0));
          ++r;
          continue;
        }
        std::int64_t end = r + 1;
        while (end < kPackedRows && !hidden(end)) {
          ++end;
        }
        source_.load(first + r, end - r, key, key_stride_, value, value_stride_);
        note(first + r, end - r, {key, key_stride_}, {value, value_stride_}, finite);
        r = end;
      }
    }
    kernels_.interleave(from_keys.data, from_keys.stride, dim_, keys + group * dim_);
    kernels_.pack_values(from_values.data, from_values.stride, value_dim_, group, values);
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
  statistics.value_sum.assign(usize(value_dim), 0.0);
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
  for (std::size_t c = 0; c < statistics.value_sum.size(); ++c) {
    statistics.value_sum[c] += static_cast<double>(value_sum_[c]);
  }
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
  return static_cast<std::int64_t>(sizeof(T)) * (columns * (kPackedRows + 3) + kPadding);
}

template class KeyPacker<float, ProblemSource<float>>;
template class KeyPacker<double, ProblemSource<double>>;
template class KeyPacker<float, MatrixSource<float>>;
template class KeyPacker<double, MatrixSource<double>>;

}  // namespace polyattn::engines
