#include "engines/finite.hpp"
#include "engines/tuples/column_blocks.hpp"
#include "engines/tuples/set_frame.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace polyattn::engines {

namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct RangeBlock {
  std::vector<double> low;
  std::vector<double> high;
};

/// Least and largest number of a column, eight at a time; returns 0, or NaN if one of them is not finite.
double measure_column(const double* x, std::int64_t count, RangeBlock& out) {
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
    poison += measure_column(values.column(c), values.count, out);
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

}  // namespace

void measure_values(const base::Context& context, TupleSet& set) {
  std::vector<RangeBlock> ranges(usize(base::blocks_of(set.seen.size(), kColumnRows)));
  for_column_blocks(set.problem.values, set.seen, context,
                    [&](Columns& part) { ranges[usize(part.block)] = measure_values_block(set, part); });
  join_range(ranges, usize(set.problem.value_dim()), set.values);
}

}  // namespace polyattn::engines
