#include "planning/values.hpp"

#include "base/error.hpp"
#include "engines/columns.hpp"
#include "engines/finite.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace polyattn::planning {

namespace {

using base::usize;

constexpr std::int64_t kRows = 2048;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<double> load_bias(const engines::HeadProblem& problem, std::int64_t first, std::int64_t count) {
  std::vector<double> bias(usize(count), 0.0);
  if (problem.has_bias()) {
    engines::load_bias(problem, first, count, bias.data());
  }
  return bias;
}

/// A centre near the mean of the values: of at most `kSample` keys, evenly spaced.
std::vector<double> sampled_centre(const engines::HeadProblem& problem, const double* log_weight, double log_scale) {
  constexpr std::int64_t kSample = 1024;
  const std::size_t columns = usize(problem.value_dim());
  std::vector<double> centre(columns, 0.0);
  std::vector<double> row(columns);
  const std::int64_t stride = std::max<std::int64_t>(1, problem.n_kv() / kSample);
  double total = 0.0;
  for (std::int64_t j = stride / 2; j < problem.n_kv(); j += stride) {
    const double weight = log_weight != nullptr ? std::exp(log_weight[j] - log_scale)
                                                : std::exp(std::min(0.0, load_bias(problem, j, 1)[0]));
    if (!(weight > 0.0)) {
      continue;
    }
    base::load_rows(problem.values, j, 1, row.data(), problem.value_dim());
    total += weight;
    for (std::size_t c = 0; c < columns; ++c) {
      centre[c] += weight * row[c];
    }
  }
  for (std::size_t c = 0; c < columns; ++c) {
    centre[c] = total > 0.0 && std::isfinite(centre[c] / total) ? centre[c] / total : 0.0;
  }
  return centre;
}

}  // namespace

namespace {

/// Range of a block of visible values, and their sums.
struct RangeBlock {
  std::vector<double> low;
  std::vector<double> high;
  std::vector<double> sum;
};

/// In eight lanes: chains of one would wait for each other.
void measure_visible(const double* column, std::int64_t count, RangeBlock& out) {
  constexpr std::int64_t kLanes = 8;
  double low[kLanes];
  double high[kLanes];
  double sum[kLanes];
  std::fill_n(low, kLanes, kInfinity);
  std::fill_n(high, kLanes, -kInfinity);
  std::fill_n(sum, kLanes, 0.0);
  const auto take = [&](std::int64_t lane, double x) {
    low[lane] = x < low[lane] ? x : low[lane];
    high[lane] = x > high[lane] ? x : high[lane];
    sum[lane] += x;
  };
  std::int64_t r = 0;
  for (; r + kLanes <= count; r += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      take(lane, column[r + lane]);
    }
  }
  for (; r < count; ++r) {
    take(r % kLanes, column[r]);
  }
  out.low.push_back(*std::min_element(low, low + kLanes));
  out.high.push_back(*std::max_element(high, high + kLanes));
  out.sum.push_back(std::accumulate(sum, sum + kLanes, 0.0));
}

}  // namespace

engines::ValueRange value_range(const engines::HeadProblem& problem, const double* log_weight, double log_scale,
                                const base::Context& context) {
  const std::size_t columns = usize(problem.value_dim());
  const std::int64_t blocks = base::blocks_of(problem.n_kv(), kRows);
  std::vector<RangeBlock> parts(usize(blocks));
  std::vector<std::vector<double>> scratch(usize(std::max(1, context.threads)));
  base::parallel_for(context, blocks, [&](std::int64_t block, int thread) {
    const std::int64_t first = block * kRows;
    std::int64_t count = std::min(kRows, problem.n_kv() - first);
    std::vector<double>& values = scratch[usize(thread)];
    const std::int64_t ld = count + (count % 512 == 0 ? 8 : 0);  // columns a power of two apart share few cache lines
    values.resize(usize(ld) * columns);
    engines::load_columns(problem.values, first, count, values.data(), ld);
    if (problem.has_bias()) {  // visible values move to the front; the first that is not finite is named by its row
      const std::vector<double> bias = load_bias(problem, first, count);
      std::vector<double> row(columns);
      std::int64_t kept = 0;
      const std::int64_t all = count;
      for (std::int64_t r = 0; r < all; ++r) {
        if (bias[usize(r)] == -kInfinity) {
          continue;
        }
        for (std::size_t c = 0; c < columns; ++c) {
          row[c] = values[c * usize(ld) + usize(r)];
          values[c * usize(ld) + usize(kept)] = row[c];
        }
        engines::require_finite(problem, "values", row.data(), first + r, 1, problem.value_dim());
        ++kept;
      }
      count = kept;
    } else {
      engines::require_finite_columns(problem, "values", values.data(), first, count, problem.value_dim(), ld);
    }
    for (std::size_t c = 0; c < columns; ++c) {
      measure_visible(values.data() + c * usize(ld), count, parts[usize(block)]);
    }
  });
  engines::ValueRange range;
  range.low.assign(columns, kInfinity);
  range.high.assign(columns, -kInfinity);
  std::vector<double> sum(columns, 0.0);
  for (const RangeBlock& part : parts) {
    for (std::size_t c = 0; c < columns; ++c) {
      range.low[c] = std::min(range.low[c], part.low[c]);
      range.high[c] = std::max(range.high[c], part.high[c]);
      sum[c] += part.sum[c];
    }
  }
  if (!problem.has_bias() && problem.n_kv() > 0) {
    for (const double total : sum) {
      range.mean.push_back(total / static_cast<double>(problem.n_kv()));
    }
  }
  const bool alike = log_weight == nullptr && !range.mean.empty() &&
                     std::all_of(range.mean.begin(), range.mean.end(), [](double mean) { return std::isfinite(mean); });
  range.centre = alike ? range.mean : sampled_centre(problem, log_weight, log_scale);
  for (std::size_t c = 0; c < columns; ++c) {
    if (range.low[c] > range.high[c]) {  // no visible key
      range.low[c] = 0.0;
      range.high[c] = 0.0;
    }
    range.max_abs = std::max({range.max_abs, std::fabs(range.low[c]), std::fabs(range.high[c])});
  }
  return range;
}

ConstantAnswer constant_answer(const engines::HeadProblem& problem, const base::Context& context) {
  const std::size_t columns = usize(problem.value_dim());
  const std::vector<double> bias = load_bias(problem, 0, problem.has_bias() ? problem.n_kv() : 0);
  const double largest = bias.empty() ? 0.0 : *std::max_element(bias.begin(), bias.end());
  const std::int64_t blocks = base::blocks_of(problem.n_kv(), kRows);
  std::vector<std::vector<double>> parts(usize(blocks));  // weighted sums, then the weight
  base::parallel_for(context, blocks, [&](std::int64_t block, int) {
    const std::int64_t first = block * kRows;
    const std::int64_t count = std::min(kRows, problem.n_kv() - first);
    std::vector<double> rows(usize(count) * columns);
    base::load_rows(problem.values, first, count, rows.data(), problem.value_dim());
    std::vector<double>& part = parts[usize(block)];
    part.assign(columns + 1, 0.0);
    for (std::int64_t r = 0; r < count; ++r) {
      const double weight = bias.empty() ? 1.0 : std::exp(bias[usize(first + r)] - largest);
      if (!(weight > 0.0)) {
        continue;
      }
      part[columns] += weight;
      for (std::size_t c = 0; c < columns; ++c) {
        part[c] += weight * rows[usize(r) * columns + c];
      }
    }
  });
  std::vector<double> mean(columns, 0.0);
  double weight = 0.0;
  for (const std::vector<double>& part : parts) {
    weight += part[columns];
    for (std::size_t c = 0; c < columns; ++c) {
      mean[c] += part[c];
    }
  }
  for (double& value : mean) {
    value = weight > 0.0 ? value / weight : 0.0;
  }
  return {std::move(mean), weight, largest};
}

ConstantAnswer join(const ConstantAnswer& a, const ConstantAnswer& b) {
  if (!(a.weight > 0.0) || !(b.weight > 0.0)) {
    return a.weight > 0.0 ? a : b;
  }
  ConstantAnswer out = a;
  out.largest = std::max(a.largest, b.largest);
  const double weight_a = a.weight * std::exp(a.largest - out.largest);
  const double weight_b = b.weight * std::exp(b.largest - out.largest);
  out.weight = weight_a + weight_b;
  for (std::size_t c = 0; c < out.mean.size(); ++c) {
    out.mean[c] = a.mean[c] * (weight_a / out.weight) + b.mean[c] * (weight_b / out.weight);
  }
  return out;
}

std::vector<double> mean_value(const engines::HeadProblem& problem, const base::Context& context) {
  return constant_answer(problem, context).mean;
}

void require_bias(const engines::HeadProblem& problem) {
  if (!problem.has_bias()) {
    return;
  }
  const std::vector<double> bias = load_bias(problem, 0, problem.n_kv());
  for (std::size_t j = 0; j < bias.size(); ++j) {
    if (std::isnan(bias[j]) || bias[j] == kInfinity) {
      // A sum of a bias and of a mask that all rows share: which of them it is.
      double own = 0.0;
      base::load_rows(problem.bias.rows, static_cast<std::int64_t>(j), 1, &own, 1);
      const char* name = std::isnan(own) || own == kInfinity ? "key_bias" : "additive";
      base::fail(ErrorCode::non_finite, name, "finite numbers or -infinity",
                 std::string(std::isnan(bias[j]) ? "NaN" : "+infinity") + " at batch " + std::to_string(problem.batch) +
                     ", head " + std::to_string(problem.head) + ", key " + std::to_string(j));
    }
  }
}

}  // namespace polyattn::planning
