#include "engines/tuples/set_frame.hpp"

#include "engines/columns.hpp"
#include "engines/finite.hpp"
#include "numerics/rounding.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

namespace polyattn::engines {

namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kRows = 512;   // of a block
constexpr std::int64_t kLook = 128;   // rows of which the farthest is remembered

/// Rows [first, first + count) as columns of float64, ld apart; zeros from `count` to the next multiple of 8.
struct Columns {
  std::int64_t block = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::int64_t padded = 0;
  std::int64_t ld = 0;
  std::vector<double> data;
  [[nodiscard]] double* column(std::size_t c) noexcept { return data.data() + static_cast<std::int64_t>(c) * ld; }
};

template <class Body>
void for_blocks(const base::Rows& source, KeyRange range, const base::Context& context, const Body& body) {
  std::vector<Columns> scratch(usize(std::max(1, context.threads)));
  base::parallel_for(context, base::blocks_of(range.size(), kRows), [&](std::int64_t block, int thread) {
    Columns& part = scratch[usize(thread)];
    part.block = block;
    part.first = range.first + block * kRows;
    part.count = std::min(kRows, range.last - part.first);
    part.padded = base::round_up_to(part.count, 8);
    part.ld = part.padded + 8;  // columns a power of two apart would share few lines of the cache
    part.data.resize(usize(part.ld * source.columns));
    load_columns(source, part.first, part.count, part.data.data(), part.ld);
    for (std::int64_t c = 0; c < source.columns; ++c) {
      std::fill(part.column(usize(c)) + part.count, part.column(usize(c)) + part.ld, 0.0);
    }
    body(part);
  });
}

const simd::StatisticsKernels& statistics() { return simd::kernels().statistics; }

/// At least the p-th root of a sum of p-th powers as computed.
double root(double sum, std::int64_t dim, int power) noexcept {
  const double least = static_cast<double>(dim) * kRadiusUnderflow;
  return std::pow(sum + least, 1.0 / static_cast<double>(power)) * (1.0 + 1e-9);
}

/// Of a block: extents and norms, and the rows of largest norm of every kLook rows.
struct QueryBlock {
  std::vector<double> half;
  double norm = 0.0;
  double before = 0.0;
  std::vector<std::pair<double, std::int64_t>> far;
};

QueryBlock measure_block(const HeadProblem& problem, const std::vector<double>& factors, Columns& q) {
  QueryBlock out;
  std::vector<double> square(usize(q.padded), 0.0);
  std::vector<double> before(usize(q.padded), 0.0);
  double poison = 0.0;
  for (std::size_t l = 0; l < factors.size(); ++l) {
    const double metric = factors[l] * factors[l];
    const simd::ColumnMeasure found = statistics().measure({q.column(l), q.padded, 0.0, metric, square.data()});
    statistics().measure({q.column(l), q.padded, 0.0, 1.0, before.data()});
    out.half.push_back(found.half);
    poison += found.poison;
  }
  if (poison != 0.0) {
    require_finite_columns(problem, "q", q.data.data(), q.first, q.count, problem.dim(), q.ld);
    out.half.assign(factors.size(), kInfinity);  // propagated: nothing is served
  }
  out.norm = statistics().largest(square.data(), q.padded);
  out.before = statistics().largest(before.data(), q.padded);
  for (std::int64_t r = 0; r < q.count; r += kLook) {
    const auto first = square.begin() + r;
    const auto at = std::max_element(first, first + std::min(kLook, q.count - r));
    out.far.emplace_back(*at, q.first + (at - square.begin()));
  }
  return out;
}

}  // namespace

double power_of_two_above(double value) noexcept {
  if (value == 0.0) {
    return 1.0;
  }
  int exponent = 0;
  std::frexp(value, &exponent);  // value < 2^exponent
  return std::ldexp(1.0, std::clamp(exponent, -1000, 1000));
}

QueryNorms measure_queries(const HeadProblem& problem, const std::vector<double>& factors,
                           const base::Context& context) {
  const KeyRange all{0, problem.n_q()};
  std::vector<QueryBlock> parts(usize(base::blocks_of(all.size(), kRows)));
  for_blocks(problem.queries, all, context,
             [&](Columns& q) { parts[usize(q.block)] = measure_block(problem, factors, q); });
  QueryNorms out;
  out.half.assign(factors.size(), 0.0);
  std::vector<std::pair<double, std::int64_t>> far;
  for (const QueryBlock& part : parts) {
    for (std::size_t l = 0; l < factors.size(); ++l) {
      out.half[l] = std::max(out.half[l], part.half[l]);
    }
    out.norm = std::max(out.norm, part.norm);
    out.norm_before = std::max(out.norm_before, part.before);
    far.insert(far.end(), part.far.begin(), part.far.end());
  }
  out.norm = root(out.norm, problem.dim(), 2);
  out.norm_before = root(out.norm_before, problem.dim(), 2);
  std::sort(far.begin(), far.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  for (std::size_t i = 0; i < std::min(far.size(), kFarKeys); ++i) {
    out.far.push_back(far[i].second);
  }
  return out;
}

TupleSet make_tuple_set(const TupleProblem& problem, std::size_t set, KeyRange seen) {
  TupleSet out;
  out.problem.batch = problem.batch;
  out.problem.head = problem.head;
  out.problem.queries.columns = problem.dim();
  out.problem.keys = problem.sets[set].keys;
  out.problem.values = problem.sets[set].values;
  out.problem.bias = problem.sets[set].bias;
  out.problem.non_finite = problem.non_finite;
  out.name = "[" + std::to_string(set) + "]";
  out.seen = seen;
  return out;
}

namespace {

/// Of a block of keys; sums of powers, maxima over rows.
struct KeyBlock {
  std::vector<double> half;
  double two = 0.0;
  double four = 0.0;
  double all = 0.0;
  double before = 0.0;
  double bias = 0.0;  ///< largest |bias|
  double largest_bias = -kInfinity;
  std::int64_t visible = 0;
};

double power(double square, int half_power) noexcept {
  double out = square;
  for (int p = 1; p < half_power; ++p) {
    out *= square;
  }
  return out;
}

/// Adds |a x|^p of one column for p = 4 and 2m, and |x|^2m.
void add_powers(const double* x, std::int64_t count, double factor, int sets, double* four, double* all,
                double* before) noexcept {
  if (sets == 2) {
    for (std::int64_t r = 0; r < count; ++r) {
      const double square = (x[r] * factor) * (x[r] * factor);
      four[r] += square * square;
      const double plain = x[r] * x[r];
      before[r] += plain * plain;
    }
    return;
  }
  for (std::int64_t r = 0; r < count; ++r) {
    const double square = (x[r] * factor) * (x[r] * factor);
    four[r] += square * square;
    all[r] += power(square, sets);
    before[r] += power(x[r] * x[r], sets);
  }
}

/// Biases of a block; keys they hide are put at 0. Returns how many are left.
std::int64_t load_weights(const TupleSet& set, Columns& keys, double* log_weight) {
  std::fill_n(log_weight, keys.count, 0.0);
  if (!set.problem.has_bias()) {
    return keys.count;
  }
  load_bias(set.problem, keys.first, keys.count, log_weight);
  std::int64_t visible = keys.count;
  for (std::int64_t r = 0; r < keys.count; ++r) {
    if (log_weight[r] == -kInfinity) {
      --visible;
      for (std::int64_t l = 0; l < set.problem.dim(); ++l) {
        keys.column(usize(l))[r] = 0.0;
      }
    }
  }
  return visible;
}

KeyBlock measure_keys_block(const TupleSet& set, const std::vector<double>& factors, int sets, double* log_weight,
                            Columns& keys) {
  KeyBlock out;
  out.visible = load_weights(set, keys, log_weight);
  for (std::int64_t r = 0; r < keys.count; ++r) {
    out.bias = log_weight[r] == -kInfinity ? out.bias : std::max(out.bias, std::fabs(log_weight[r]));
    out.largest_bias = std::max(out.largest_bias, log_weight[r]);
  }
  std::array<std::vector<double>, 4> sums;
  for (std::vector<double>& sum : sums) {
    sum.assign(usize(keys.padded), 0.0);
  }
  double poison = 0.0;
  for (std::size_t l = 0; l < factors.size(); ++l) {
    const simd::ColumnMeasure found =
        statistics().measure({keys.column(l), keys.padded, 0.0, factors[l] * factors[l], sums[0].data()});
    out.half.push_back(found.half);
    poison += found.poison;
    add_powers(keys.column(l), keys.padded, factors[l], sets, sums[1].data(), sums[2].data(), sums[3].data());
  }
  if (poison != 0.0) {
    require_finite_columns(set.problem, ("keys" + set.name).c_str(), keys.data.data(), keys.first, keys.count,
                           set.problem.dim(), keys.ld);
    out.half.assign(factors.size(), kInfinity);
  }
  out.two = statistics().largest(sums[0].data(), keys.padded);
  out.four = statistics().largest(sums[1].data(), keys.padded);
  out.all = sets == 2 ? out.four : statistics().largest(sums[2].data(), keys.padded);
  out.before = statistics().largest(sums[3].data(), keys.padded);
  return out;
}

struct RangeBlock {
  std::vector<double> low;
  std::vector<double> high;
};

/// Least and largest number of a column, eight at a time; returns 0, or NaN if one of them is not finite.
double measure_values(const double* x, std::int64_t count, RangeBlock& out) {
  std::array<double, 8> low;
  std::array<double, 8> high;
  std::array<double, 8> poison{};
  low.fill(kInfinity);
  high.fill(-kInfinity);
  std::int64_t r = 0;
  for (; r + 8 <= count; r += 8) {
    for (std::size_t i = 0; i < 8; ++i) {
      const double value = x[r + static_cast<std::int64_t>(i)];
      low[i] = value < low[i] ? value : low[i];
      high[i] = value > high[i] ? value : high[i];
      poison[i] += 0.0 * value;
    }
  }
  for (; r < count; ++r) {
    low[0] = std::min(low[0], x[r]);
    high[0] = std::max(high[0], x[r]);
    poison[0] += 0.0 * x[r];
  }
  out.low.push_back(*std::min_element(low.begin(), low.end()));
  out.high.push_back(*std::max_element(high.begin(), high.end()));
  return std::accumulate(poison.begin(), poison.end(), 0.0);
}

/// Visible rows move to the front.
void compact(const double* log_weight, Columns& values, std::size_t columns) {
  std::int64_t kept = 0;
  for (std::int64_t r = 0; r < values.count; ++r) {
    if (log_weight[r] != -kInfinity) {
      for (std::size_t c = 0; c < columns; ++c) {
        values.column(c)[kept] = values.column(c)[r];
      }
      ++kept;
    }
  }
  values.count = kept;
}

RangeBlock measure_values_block(const TupleSet& set, Columns& values) {
  const std::size_t columns = usize(set.problem.value_dim());
  const double* log_weight = set.frame.log_weight.data() + values.first;
  const std::int64_t count = values.count;
  if (set.problem.has_bias()) {
    compact(log_weight, values, columns);
  }
  RangeBlock out;
  double poison = 0.0;
  for (std::size_t c = 0; c < columns; ++c) {
    poison += measure_values(values.column(c), values.count, out);
  }
  if (poison != 0.0) {  // rows as they were given again, to name the first
    values.count = count;
    load_columns(set.problem.values, values.first, count, values.data.data(), values.ld);
    for (std::int64_t r = 0; r < count; ++r) {
      for (std::size_t c = 0; c < columns && log_weight[r] == -kInfinity; ++c) {
        values.column(c)[r] = 0.0;
      }
    }
    require_finite_columns(set.problem, ("values" + set.name).c_str(), values.data.data(), values.first, count,
                           set.problem.value_dim(), values.ld);
  }
  return out;
}

void join_range(const std::vector<RangeBlock>& parts, std::size_t columns, ValueRange& range) {
  range.low.assign(columns, kInfinity);
  range.high.assign(columns, -kInfinity);
  range.centre.assign(columns, 0.0);
  for (std::size_t c = 0; c < columns; ++c) {
    for (const RangeBlock& part : parts) {
      range.low[c] = std::min(range.low[c], part.low[c]);
      range.high[c] = std::max(range.high[c], part.high[c]);
    }
    if (range.low[c] > range.high[c]) {  // no visible key
      range.low[c] = 0.0;
      range.high[c] = 0.0;
    }
    range.max_abs = std::max({range.max_abs, std::fabs(range.low[c]), std::fabs(range.high[c])});
  }
}

SetNorms join_keys(const std::vector<KeyBlock>& parts, const std::vector<double>& factors, int sets, TupleSet& set) {
  const auto dim = static_cast<std::int64_t>(factors.size());
  Frame& frame = set.frame;
  frame.key_half.assign(factors.size(), 0.0);
  KeyBlock all;
  for (const KeyBlock& part : parts) {
    all.two = std::max(all.two, part.two);
    all.four = std::max(all.four, part.four);
    all.all = std::max(all.all, part.all);
    all.before = std::max(all.before, part.before);
    all.bias = std::max(all.bias, part.bias);
    all.largest_bias = std::max(all.largest_bias, part.largest_bias);
    frame.visible_keys += part.visible;
    for (std::size_t l = 0; l < factors.size(); ++l) {
      frame.key_half[l] = std::max(frame.key_half[l], part.half[l]);
    }
  }
  SetNorms out{root(all.all, dim, 2 * sets), root(all.two, dim, 2), root(all.four, dim, 4), 0.0,
               root(all.before, dim, 2 * sets)};
  frame.metric.assign(factors.size(), 1.0);
  frame.key_centre.assign(factors.size(), 0.0);
  for (std::size_t l = 0; l < factors.size(); ++l) {
    out.largest = std::max(out.largest, factors[l] * frame.key_half[l] * (1.0 + 1e-12));
    frame.key_scale.push_back(power_of_two_above(frame.key_half[l]));
  }
  frame.log_scale = frame.visible_keys > 0 ? all.largest_bias : 0.0;
  // Biases are exact. The largest is subtracted, or a power of two near it; the exponential's own roundings are in the
  // constant, as in weigh_keys. Sums over the sets of what was subtracted are in the 40.
  frame.weight_error = 40.0 * numerics::kU64 * all.bias + 1000.0 * numerics::kU64;
  return out;
}

}  // namespace

SetNorms measure_set(const std::vector<double>& factors, int sets, const base::Context& context, TupleSet& set) {
  const HeadProblem& problem = set.problem;
  set.frame.log_weight = base::Buffer<double>(problem.n_kv(), -kInfinity, context.memory);
  const auto blocks = usize(base::blocks_of(set.seen.size(), kRows));
  std::vector<KeyBlock> keys(blocks);
  for_blocks(problem.keys, set.seen, context, [&](Columns& part) {
    keys[usize(part.block)] =
        measure_keys_block(set, factors, sets, set.frame.log_weight.data() + part.first, part);
  });
  const SetNorms norms = join_keys(keys, factors, sets, set);
  std::vector<RangeBlock> ranges(blocks);
  for_blocks(problem.values, set.seen, context,
             [&](Columns& part) { ranges[usize(part.block)] = measure_values_block(set, part); });
  join_range(ranges, usize(problem.value_dim()), set.values);
  return norms;
}

}  // namespace polyattn::engines
