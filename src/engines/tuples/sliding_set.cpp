#include "engines/tuples/sliding_set.hpp"

#include "simd/dispatch.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace polyattn::engines {

namespace {

using base::usize;

constexpr double kLog2e = 0x1.71547652b82fep0;
constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

SlidingSums::SlidingSums(const TupleSet& set, const SlidingFeatures& features, const FeatureList& list,
                         std::int64_t most, base::MemoryMeter* memory)
    : set_(set),
      features_(features),
      list_(list),
      most_(base::round_up_to(most, 16)),
      scratch_(list, most_, memory),
      statistics_(simd::kernels().statistics),
      sums_(list.columns() * features.stride(), 0.0, memory) {}

void SlidingSums::clear(std::int64_t at) noexcept {
  std::fill(sums_.begin(), sums_.end(), 0.0);
  summed_ = {at, at};
  any_ = taken_ = false;
  ever_ = weight_ = 0.0;
  events_ = 0;
}

void SlidingSums::raise_unit(std::int64_t first, std::int64_t last) noexcept {
  double largest = -kInfinity;
  for (std::int64_t j = first; j < last; ++j) {
    largest = std::max(largest, set_.frame.log_weight[usize(j)]);
  }
  if (largest == -kInfinity || (any_ && largest <= exponent_ * kLn2)) {
    return;
  }
  const double exponent = std::floor(largest * kLog2e) + 1.0;
  if (any_ && exponent > exponent_) {
    const double factor = std::exp2(std::max(exponent_ - exponent, -2000.0));
    for (double& sum : sums_) {
      sum *= factor;
    }
    ever_ *= factor;
    weight_ *= factor;
  }
  exponent_ = any_ ? std::max(exponent, exponent_) : exponent;
  any_ = true;
}

void SlidingSums::load(std::int64_t first, std::int64_t last, double sign, Tokens& out) {
  const std::int64_t count = last - first;
  const std::int64_t value_dim = list_.value_dim;
  out.values.resize(usize(count * list_.columns()));
  if (count == 0) {
    return;
  }
  load_moment_block(set_.problem, set_.frame, set_.values, first, count, scratch_);
  scratch_.columns.assign(usize(base::round_up_to(count, 8)), -kInfinity);
  std::copy_n(set_.frame.log_weight.data() + first, count, scratch_.columns.begin());
  const auto padded = static_cast<std::ptrdiff_t>(scratch_.columns.size());
  statistics_.exponentials(scratch_.columns.data(), exponent_ * kLn2, padded, scratch_.columns.data());
  out.features.resize(std::max(out.features.size(), usize(most_ * features_.stride() + simd::kSlidingLanes)));
  expand_tokens(features_, scratch_.x.data(), scratch_.tokens, count, false, out.features.data());
  for (std::int64_t j = 0; j < count; ++j) {
    double* value = out.values.data() + j * list_.columns();
    const double weight = sign * scratch_.columns[usize(j)];
    for (std::int64_t c = 0; c < value_dim; ++c) {
      value[c] = weight * scratch_.centred[usize(c * scratch_.tokens + j)];
      if (list_.spread) {
        value[value_dim + 1 + c] = std::copysign(value[c], sign);
      }
    }
    value[value_dim] = weight;
  }
}

void SlidingSums::count(double weight) noexcept {
  ever_ += std::fabs(weight);
  weight_ += weight;
  ++events_;
}

void SlidingSums::add_many(std::int64_t first, std::int64_t last, double sign, const simd::SlidingKernels& kernels) {
  Tokens tokens;
  const std::vector<double> query(usize(features_.stride()), 0.0);
  std::vector<double> partial(usize(list_.columns() * simd::kSlidingLanes));
  std::vector<double> nowhere(usize(list_.columns()));
  for (std::int64_t j = first; j < last; j += most_) {
    const std::int64_t here = std::min(most_, last - j);
    load(j, j + here, sign, tokens);
    const std::array<std::ptrdiff_t, 2> all{0, here};
    simd::SlidingBlock block{};
    block.sets[0] = {all.data(), tokens.features.data(), tokens.values.data(), sums_.data()};
    block.count = 1;
    block.rows = 1;
    block.stride = features_.stride();
    block.columns = list_.columns();
    block.query = query.data();
    block.partial = partial.data();
    block.out = nowhere.data();
    block.ld = 1;
    for (int t = 0; t <= features_.degree; ++t) {
      block.feature = features_.starts[usize(t)];
      block.feature_end = features_.starts[usize(t) + 1];
      block.column_end = list_.columns_at[usize(t)];
      kernels.slide(block);
    }
    for (std::int64_t e = 0; e < here; ++e) {
      count(tokens.values[usize(e * list_.columns() + list_.value_dim)]);
    }
  }
}

void SlidingSums::approach(KeyRange range, const simd::SlidingKernels& kernels) {
  const bool worn = taken_ && (!(ever_ <= kWorn * weight_) || events_ > std::max(kWornEvents, 4 * range.size()));
  const std::int64_t entering = range.last - summed_.last;
  const std::int64_t leaving = range.first - summed_.first;
  if (worn || range.first >= summed_.last || leaving > range.size()) {
    clear(range.first);
  } else if (entering <= 1 && leaving <= 1) {
    return;
  }
  raise_unit(summed_.last, range.last);
  add_many(summed_.last, range.last, 1.0, kernels);
  if (summed_.first < range.first) {
    add_many(summed_.first, range.first, -1.0, kernels);
    taken_ = true;
  }
  summed_ = range;
}

const SlidingEvents& SlidingSums::advance(const std::vector<KeyRange>& ranges) {
  const std::int64_t columns = list_.columns();
  const std::int64_t stride = features_.stride();
  raise_unit(summed_.last, ranges.back().last);
  const KeyRange before = summed_;
  const bool leave = before.first < ranges.back().first;
  load(before.last, ranges.back().last, 1.0, leave ? entering_ : out_.tokens);
  load(before.first, ranges.back().first, -1.0, leaving_);
  out_.first.assign(1, 0);
  out_.sound.clear();
  std::int64_t events = 0;
  if (leave) {  // keys that enter and that leave take turns
    out_.tokens.features.resize(std::max(out_.tokens.features.size(), usize(2 * most_ * stride + simd::kSlidingLanes)));
    out_.tokens.values.resize(entering_.values.size() + leaving_.values.size());
  }
  const auto take = [&](std::int64_t at, const Tokens& from) {
    const double* values = leave ? from.values.data() + at * columns : out_.tokens.values.data() + events * columns;
    count(values[list_.value_dim]);
    if (leave) {
      std::copy_n(from.features.data() + at * stride, stride, out_.tokens.features.data() + events * stride);
      std::copy_n(values, columns, out_.tokens.values.data() + events * columns);
    }
    ++events;
  };
  for (const KeyRange& range : ranges) {
    for (; summed_.last < range.last; ++summed_.last) {
      take(summed_.last - before.last, entering_);
    }
    for (; summed_.first < range.first; ++summed_.first) {
      take(summed_.first - before.first, leaving_);
      taken_ = true;
    }
    out_.first.push_back(events);
    out_.sound.push_back(ever_ <= 0.9 * kWornOut * weight_ ? 1 : 0);
  }
  return out_;
}

}  // namespace polyattn::engines
