#include "engines/tuples/set_frame.hpp"

#include "engines/finite.hpp"
#include "engines/tuples/column_blocks.hpp"
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

const simd::StatisticsKernels& statistics() { return simd::kernels().statistics; }

}  // namespace

double root_above(double sum, std::int64_t dim, int power) noexcept {
  const double least = static_cast<double>(dim) * kRadiusUnderflow;
  return std::pow(sum + least, 1.0 / static_cast<double>(power)) * (1.0 + 1e-9);
}

double power_of_two_above(double value) noexcept {
  if (value == 0.0) {
    return 1.0;
  }
  int exponent = 0;
  std::frexp(value, &exponent);  // value < 2^exponent
  return std::ldexp(1.0, std::clamp(exponent, -1000, 1000));
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
  SetNorms out{root_above(all.all, dim, 2 * sets), root_above(all.two, dim, 2), root_above(all.four, dim, 4), 0.0,
               root_above(all.before, dim, 2 * sets)};
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
  const auto blocks = usize(base::blocks_of(set.seen.size(), kColumnRows));
  std::vector<KeyBlock> keys(blocks);
  for_column_blocks(problem.keys, set.seen, context, [&](Columns& part) {
    keys[usize(part.block)] = measure_keys_block(set, factors, sets, set.frame.log_weight.data() + part.first, part);
  });
  const SetNorms norms = join_keys(keys, factors, sets, set);
  measure_values(context, set);
  return norms;
}

}  // namespace polyattn::engines
