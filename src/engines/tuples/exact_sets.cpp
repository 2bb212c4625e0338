#include "engines/tuples/exact_sets.hpp"

#include "base/checked.hpp"
#include "engines/tuple_sets.hpp"
#include "simd/exact_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::engines {
namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Covers the at most 2^20 + 4 roundings behind a norm.
constexpr double kSlack = 1 + 0x1p-30;
/// Biases of infinite weight are NaN or infinity's affair; finite ones beyond it weigh nothing beside others.
constexpr double kMostBias = 0x1p1000;

/// Most keys of a set that a row may see.
std::int64_t length_of(const KeySet& set) noexcept {
  const std::int64_t n = set.size();
  if (set.mask.window <= 0 || set.mask.window >= n) {
    return n;
  }
  return set.mask.causal ? set.mask.window : std::min(n, 2 * set.mask.window - 1);
}

/// (sum_l |k_l|^p)^(1/p) for even p, rounded up; `largest` = max_l |k_l|.
double holder_norm(const double* key, std::int64_t dim, double largest, std::size_t half_power) noexcept {
  if (!(largest > 0.0) || !std::isfinite(largest)) {
    return largest;
  }
  double sum = 0.0;
  for (std::int64_t l = 0; l < dim; ++l) {
    const double square = (key[l] / largest) * (key[l] / largest);
    double power = square;
    for (std::size_t h = 1; h < half_power; ++h) {
      power *= square;
    }
    sum += power;
  }
  // What underflows in the powers is less than 2^-1000 for each coordinate; sum >= 1.
  return largest * std::pow(sum * kSlack, 0.5 / static_cast<double>(half_power)) * kSlack;
}

void note_biases(SetFacts& facts) {
  KeyStatistics& statistics = facts.statistics;
  const auto n = static_cast<std::int64_t>(facts.bias.size());
  for (std::int64_t block = 0; block < n; block += simd::kKeyBlock) {
    double low = kInfinity;
    double high = -kInfinity;
    for (std::int64_t j = block; j < std::min<std::int64_t>(n, block + simd::kKeyBlock); ++j) {
      const double b = facts.bias[usize(j)];
      facts.before.push_back(facts.before.back() + (b == -kInfinity ? 0 : 1));
      if (b != -kInfinity) {
        low = std::min(low, b);
        high = std::max(high, b);
        statistics.finite = statistics.finite && std::isfinite(b);
      }
    }
    if (low <= high) {
      statistics.bias_min = std::min(statistics.bias_min, low);
      statistics.bias_max = std::max(statistics.bias_max, high);
      statistics.bias_spread = std::max(statistics.bias_spread, high - low);
    }
  }
}

void note_key(const double* key, std::size_t half_power, SetFacts& facts) {
  KeyStatistics& statistics = facts.statistics;
  double largest = 0.0;
  double square = 0.0;
  double poison = 0.0;
  const auto dim = static_cast<std::int64_t>(statistics.key_min.size());
  for (std::int64_t l = 0; l < dim; ++l) {
    const double k = key[l];
    statistics.key_min[usize(l)] = std::min(statistics.key_min[usize(l)], k);
    statistics.key_max[usize(l)] = std::max(statistics.key_max[usize(l)], k);
    largest = std::max(largest, std::fabs(k));
    square += k * k;
    poison += 0.0 * k;
  }
  statistics.finite = statistics.finite && poison == 0.0;
  // 2^-1000 stands for each square that underflowed.
  const double norm = std::sqrt(square + 0x1p-1000 * static_cast<double>(dim)) * kSlack;
  statistics.max_norm = std::max(statistics.max_norm, norm);
  facts.holder = std::max(facts.holder, half_power == 1 ? norm : holder_norm(key, dim, largest, half_power));
}

void note_value(const double* value, KeyStatistics& statistics) {
  for (std::size_t c = 0; c < statistics.value_min.size(); ++c) {
    const double v = value[c];
    statistics.value_min[c] = std::min(statistics.value_min[c], v);
    statistics.value_max[c] = std::max(statistics.value_max[c], v);
    const double size = std::fabs(v);
    statistics.smallest_value = size > 0.0 ? std::min(statistics.smallest_value, size) : statistics.smallest_value;
    statistics.finite = statistics.finite && std::isfinite(v);
  }
}

SetFacts gather_set(const TupleProblem& problem, std::size_t set) {
  const HeadProblem head = set_problem(problem, set);
  const std::int64_t d = head.dim();
  const std::int64_t d_v = head.value_dim();
  SetFacts facts;
  KeyStatistics& statistics = facts.statistics;
  statistics.keys = head.n_kv();
  statistics.keys_exact = base::fits_float32(head.keys);
  statistics.values_exact = base::fits_float32(head.values);
  statistics.key_min.assign(usize(d), kInfinity);
  statistics.key_max.assign(usize(d), -kInfinity);
  statistics.value_min.assign(usize(d_v), kInfinity);
  statistics.value_max.assign(usize(d_v), -kInfinity);
  facts.bias = set_bias(problem, set);
  facts.before.reserve(facts.bias.size() + 1);
  facts.before.push_back(0);
  note_biases(facts);
  const KeyRange seen = seen_keys(head);
  std::vector<double> key(usize(d));
  std::vector<double> value(usize(d_v));
  for (std::int64_t j = seen.first; j < seen.last; ++j) {
    if (facts.bias[usize(j)] == -kInfinity) {
      continue;
    }
    ++statistics.visible;
    base::load_rows(head.keys, j, 1, key.data(), d);
    base::load_rows(head.values, j, 1, value.data(), d_v);
    note_key(key.data(), problem.sets.size(), facts);
    note_value(value.data(), statistics);
  }
  return facts;
}

}  // namespace

SetOrder order_of_sets(const TupleProblem& problem) {
  SetOrder order;
  for (std::size_t s = 0; s < problem.sets.size(); ++s) {
    order.outer.push_back(s);
  }
  std::stable_sort(order.outer.begin(), order.outer.end(), [&](std::size_t a, std::size_t b) {
    return length_of(problem.sets[a]) < length_of(problem.sets[b]);
  });
  order.inner = order.outer.back();
  order.outer.pop_back();
  return order;
}

std::vector<SetFacts> gather_sets(const TupleProblem& problem) {
  std::vector<SetFacts> all;
  bool finite = true;
  for (std::size_t s = 0; s < problem.sets.size(); ++s) {
    all.push_back(gather_set(problem, s));
    finite = finite && all.back().statistics.finite;
  }
  if (!finite) {
    require_finite_inputs(problem);  // names it, where the problem says so
  }
  return all;
}

OuterSet load_outer(const TupleProblem& problem, std::size_t set, const SetFacts& facts, base::MemoryMeter* memory) {
  const HeadProblem head = set_problem(problem, set);
  const std::int64_t d = head.dim();
  const std::int64_t d_v = head.value_dim();
  const KeyRange seen = seen_keys(head);
  OuterSet outer;
  outer.first = facts.before[usize(seen.first)];
  outer.count = facts.visible(seen);
  const std::int64_t padded = base::round_up_to(outer.count, kOuterBlock);
  outer.keys = base::Buffer<double>(base::checked_mul(padded, d, "keys"), 0.0, memory);
  outer.values = base::Buffer<double>(base::checked_mul(outer.count, d_v, "values"), memory);
  outer.bias = base::Buffer<double>(outer.count, memory);
  outer.power = base::Buffer<double>(outer.count, memory);
  outer.factor = base::Buffer<double>(outer.count, memory);
  std::vector<double> key(usize(d));
  std::int64_t at = 0;
  for (std::int64_t j = seen.first; j < seen.last; ++j) {
    const double b = facts.bias[usize(j)];
    if (b == -kInfinity) {
      continue;
    }
    base::load_rows(head.keys, j, 1, key.data(), d);
    base::load_rows(head.values, j, 1, outer.values.data() + at * d_v, d_v);
    double* column = outer.keys.data() + at / kOuterBlock * kOuterBlock * d + at % kOuterBlock;
    for (std::int64_t l = 0; l < d; ++l) {
      column[l * kOuterBlock] = key[usize(l)];
    }
    const double scaled = std::isfinite(b) ? std::clamp(b, -kMostBias, kMostBias) * simd::kLog2E : b;
    outer.bias[usize(at)] = scaled;
    outer.power[usize(at)] = std::floor(scaled);
    outer.factor[usize(at)] = std::exp2(scaled - std::floor(scaled));
    ++at;
  }
  return outer;
}

std::int64_t outer_bytes(std::int64_t keys, std::int64_t dim, std::int64_t value_dim) {
  const std::int64_t padded = base::round_up_to(keys, kOuterBlock);
  return 8 * (base::checked_mul(padded, dim, "keys") + base::checked_mul(keys, value_dim + 3, "values"));
}

}  // namespace polyattn::engines
