#include "engines/exact/row_blocks.hpp"

#include "base/checked.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kKeyBlock;
using simd::kPadding;

template <class T>
constexpr T kMost = std::numeric_limits<T>::infinity();

}  // namespace

template <class T>
RowBlocks<T>::RowBlocks(const HeadProblem& problem, const PackedBias<T>& biases, const KeyRange& seen)
    : problem_(problem),
      biases_(biases),
      seen_(seen),
      source_(problem),
      keys_(base::checked_mul(kKeyBlock, problem.dim(), "keys"), nullptr),
      values_(base::checked_mul(kKeyBlock, problem.value_dim(), "values"), nullptr) {
  const std::int64_t columns = base::round_up_to(problem.value_dim(), kPadding);
  gathered_ = base::Buffer<T>(3 * columns + 2 * kPadding, T(0), nullptr);
  T* at = gathered_.data();
  statistics_ = {at + 3 * columns, at, at + columns, at + 3 * columns + kPadding, at + 2 * columns};
  std::fill_n(statistics_.value_min, columns, kMost<T>);
  std::fill_n(statistics_.value_max, columns, -kMost<T>);
  std::fill_n(statistics_.smallest, kPadding, kMost<T>);
}

template <class T>
bool RowBlocks<T>::open(std::int64_t b) {
  const std::int64_t first = b * kKeyBlock;
  const std::int64_t count = std::min(kKeyBlock, problem_.n_kv() - first);
  const T* bias = biases_.block(b);
  const auto hidden = [&](std::int64_t j) {
    return bias[j] == -kMost<T> || first + j < seen_.first || first + j >= seen_.last;
  };
  kept_.clear();
  if (biases_.none() && first >= seen_.first && first + count <= seen_.last && count >= kPadding) {
    compacted_ = false;
    padding_ = 0;
    whole(b, first, count);
    return true;
  }
  for (std::int64_t j = 0; j < count; ++j) {
    if (!hidden(j)) {
      kept_.push_back(j);
    }
  }
  if (kept_.empty()) {
    return false;
  }
  const auto left = static_cast<std::int64_t>(kept_.size());
  compacted_ = left < count;
  padding_ = std::max<std::int64_t>(0, kPadding - left);
  rows_.offset = biases_.offset(b);
  rows_.count = left + padding_;
  rows_.bias = bias;
  if (compacted_ || padding_ > 0) {
    bias_.fill(-kMost<T>);
    for (std::int64_t i = 0; i < left; ++i) {
      bias_[usize(i)] = bias[kept_[usize(i)]];
    }
    rows_.bias = bias_.data();
  }
  if (!compacted_ && padding_ == 0) {
    whole(b, first, count);
  } else {
    stage(b);
  }
  return true;
}

/// Every key of the block.
template <class T>
void RowBlocks<T>::whole(std::int64_t b, std::int64_t first, std::int64_t count) {
  rows_.bias = biases_.block(b);
  rows_.offset = biases_.offset(b);
  rows_.count = count;
  const T* keys = source_.keys_at(first);
  const T* values = source_.values_at(first);
  if (keys != nullptr && (values != nullptr || problem_.value_dim() == 0)) {
    rows_ = {keys, source_.key_stride(), values, source_.value_stride(), rows_.bias, rows_.offset, count, kKeyBlock};
    return;
  }
  base::load_rows(problem_.keys, first, count, keys_.data(), problem_.dim());
  base::load_rows(problem_.values, first, count, values_.data(), problem_.value_dim());
  lay();
}

/// Rows as staged.
template <class T>
void RowBlocks<T>::lay() noexcept {
  rows_.keys = keys_.data();
  rows_.key_stride = problem_.dim();
  rows_.values = values_.data();
  rows_.value_stride = problem_.value_dim();
  rows_.ahead = 0;
}

template <class T>
void RowBlocks<T>::stage(std::int64_t b) {
  const std::int64_t dim = problem_.dim();
  const std::int64_t value_dim = problem_.value_dim();
  const auto left = static_cast<std::int64_t>(kept_.size());
  for (std::int64_t i = 0; i < left;) {
    std::int64_t end = i + 1;
    while (end < left && kept_[usize(end)] == kept_[usize(end - 1)] + 1) {
      ++end;
    }
    const std::int64_t row = b * kKeyBlock + kept_[usize(i)];
    base::load_rows(problem_.keys, row, end - i, keys_.data() + i * dim, dim);
    base::load_rows(problem_.values, row, end - i, values_.data() + i * value_dim, value_dim);
    i = end;
  }
  for (std::int64_t i = left; i < left + padding_; ++i) {
    std::copy_n(keys_.data() + (left - 1) * dim, dim, keys_.data() + i * dim);
    std::copy_n(values_.data() + (left - 1) * value_dim, value_dim, values_.data() + i * value_dim);
  }
  lay();
}

template <class T>
const T* RowBlocks<T>::compact(const T* mask) noexcept {
  if (!compacted_) {
    return mask;
  }
  mask_.fill(T(0));
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    mask_[i] = mask[kept_[i]];
  }
  return mask_.data();
}

template <class T>
void RowBlocks<T>::close() noexcept {
  const T* last = rows_.values + (rows_.count - 1) * rows_.value_stride;
  for (std::int64_t c = 0; c < problem_.value_dim() && padding_ > 0; ++c) {
    statistics_.value_sum[c] -= static_cast<T>(padding_) * last[c];
  }
}

template <class T>
bool RowBlocks<T>::merge_into(KeyStatistics& statistics) const {
  double square = 0.0;
  double smallest = statistics.smallest_value;
  bool finite = true;
  for (std::int64_t i = 0; i < kPadding; ++i) {
    finite = finite && std::isfinite(statistics_.key_square[i]);
    square = std::max(square, static_cast<double>(statistics_.key_square[i]));
    smallest = std::min(smallest, static_cast<double>(statistics_.smallest[i]));
  }
  statistics.smallest_value = smallest;
  for (std::int64_t c = 0; c < problem_.value_dim(); ++c) {
    double& low = statistics.value_min[usize(c)];
    double& high = statistics.value_max[usize(c)];
    low = std::min(low, static_cast<double>(statistics_.value_min[c]));
    high = std::max(high, static_cast<double>(statistics_.value_max[c]));
    statistics.value_sum[usize(c)] += static_cast<double>(statistics_.value_sum[c]);
  }
  // |k|^2 was summed in T by d fused multiply-adds, where squares may underflow.
  const auto dim = static_cast<double>(problem_.dim());
  const double unit = static_cast<double>(std::numeric_limits<T>::epsilon());
  const double tiny = static_cast<double>(std::numeric_limits<T>::denorm_min());
  const double norm = std::sqrt(square * (1 + dim * unit) + dim * tiny) * (1 + 0x1p-30);
  statistics.max_norm = std::max(statistics.max_norm, norm);
  return finite;
}

template class RowBlocks<float>;
template class RowBlocks<double>;

}  // namespace polyattn::engines
