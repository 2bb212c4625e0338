#include "engines/reference/reference.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "engines/reference/sums.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::engines {
namespace {

using base::usize;

using reference::CompensatedSum;
using reference::gamma_of;
using reference::kFar;
using reference::kInfinity;
using reference::kSlack;
using reference::kTiny;
using reference::kUnit;
using reference::storage_tiny;
using reference::storage_unit;
using reference::tanh_half;
using reference::write;

constexpr double kProductsPerItem = 0x1p16;  ///< keeps the time between two looks at the progress meter short

/// Keys, values and bias of a head in float64; those of keys with a bias of -inf are not read.
struct KeySide {
  base::Buffer<double> keys;    // [n_kv, d]
  base::Buffer<double> values;  // [n_kv, d_v]
  base::Buffer<double> bias;    // [n_kv]
  double max_bias = 0.0;        // largest positive
  double max_abs_bias = 0.0;
};

KeySide load_keys(const HeadProblem& problem, const base::Context& context) {
  const std::int64_t n = problem.n_kv();
  const std::int64_t d = problem.dim();
  const std::int64_t d_v = problem.value_dim();
  KeySide side;
  side.keys = base::Buffer<double>(base::checked_mul(n, d, "keys"), context.memory);
  side.values = base::Buffer<double>(base::checked_mul(n, d_v, "values"), context.memory);
  side.bias = base::Buffer<double>(n, 0.0, context.memory);
  if (problem.has_bias()) {
    load_bias(problem, 0, n, side.bias.data());
  }
  for (std::int64_t j = 0; j < n; ++j) {
    const double bias = side.bias[usize(j)];
    if (bias == -kInfinity) {
      continue;
    }
    base::load_rows(problem.keys, j, 1, side.keys.data() + j * d, d);
    base::load_rows(problem.values, j, 1, side.values.data() + j * d_v, d_v);
    side.max_bias = std::max(side.max_bias, bias);
    side.max_abs_bias = std::max(side.max_abs_bias, std::fabs(bias));
  }
  return side;
}

struct Score {
  double value = 0.0;
  double size = 0.0;  ///< sum of the absolute values of its terms
};

Score score_of(const HeadScore& score, const double* q, const double* k, std::int64_t d) {
  double sum = 0.0;
  double size = 0.0;
  if (score.kind == ScoreKind::dot) {
    for (std::int64_t l = 0; l < d; ++l) {
      sum += q[l] * k[l];
      size += std::fabs(q[l] * k[l]);
    }
    return {score.scale * sum, std::fabs(score.scale) * size};
  }
  for (std::int64_t l = 0; l < d; ++l) {
    const double t = (q[l] - k[l]) / score.bandwidth[usize(l)];
    sum += t * t;
  }
  return {-0.5 * sum, 0.5 * sum};
}

/// c tanh(s / c), or s without a cap. +inf from finite inputs is an overflow and stays, so that the row is refused.
double capped(const HeadProblem& problem, double score) {
  const double cap = problem.soft_cap;
  const bool overflow = score == kInfinity && problem.non_finite == NonFinite::error;
  return cap > 0.0 && !overflow ? cap * std::tanh(score / cap) : score;
}

/// What one thread works with, and what the bounds need to know about the keys the row sees.
struct Row {
  std::vector<double> query;   // [d]
  std::vector<double> mask;    // [n_kv], what masks over pairs add, -inf where they hide the key
  std::vector<double> scores;  // [n_kv], then weights
  std::vector<double> output;  // [d_v]
  std::vector<double> low;     // [d_v], smallest value
  std::vector<double> high;    // [d_v], largest
  KeyRange range;
  std::int64_t seen = 0;        // number of keys
  double size = 0.0;            // largest sum of absolute terms of a score, before soft-capping
  double max_mask = 0.0;        // largest positive
  double max_offset = 0.0;      // largest bias and mask together
  double max_abs_offset = 0.0;  // and in absolute value
  double max_score = 0.0;
  double min_score = 0.0;
  double log_sum = 0.0;         // log of sum_j exp(s_j - max)
  double smallest_value = 0.0;  // smallest non-zero |v|

  [[nodiscard]] bool sees(const KeySide& side, std::int64_t j) const {
    return side.bias[usize(j)] != -kInfinity && mask[usize(j)] != -kInfinity;
  }
};

Row make_row(const HeadProblem& problem) {
  Row row;
  row.query.resize(usize(problem.dim()));
  row.mask.resize(usize(problem.n_kv()));
  row.scores.resize(usize(problem.n_kv()));
  for (auto* column : {&row.output, &row.low, &row.high}) {
    column->resize(usize(problem.value_dim()));
  }
  return row;
}

void load_mask(const HeadProblem& problem, const KeySide& side, std::int64_t row, Row& state) {
  state.range = problem.mask.range(row, problem.n_kv());
  const auto [first, last] = state.range;
  std::fill(state.mask.begin() + first, state.mask.begin() + last, 0.0);
  add_pair_mask(problem.pairs, row, first, last - first, state.mask.data() + first);
  if (problem.mask.exclude_self && first <= row && row < last) {
    state.mask[usize(row)] = -kInfinity;
  }
  if (problem.non_finite == NonFinite::propagate || problem.pairs.additive.data == nullptr) {
    return;
  }
  for (std::int64_t j = first; j < last; ++j) {
    const double added = state.mask[usize(j)];
    if (state.sees(side, j) && !std::isfinite(added)) {
      base::fail(ErrorCode::non_finite, "additive", "finite numbers or -infinity",
                 std::string(std::isnan(added) ? "NaN" : "+infinity") + " at batch " + std::to_string(problem.batch) +
                     ", head " + std::to_string(problem.head) + ", row " + std::to_string(row) + ", key " +
                     std::to_string(j));
    }
  }
}

/// Scores of the keys seen, and their measures.
void load_scores(const HeadProblem& problem, const KeySide& side, Row& state) {
  const std::int64_t d = problem.dim();
  state.seen = 0;
  state.size = 0.0;
  state.max_mask = 0.0;
  state.max_offset = -kInfinity;
  state.max_abs_offset = 0.0;
  state.max_score = -kInfinity;
  state.min_score = kInfinity;
  for (std::int64_t j = state.range.first; j < state.range.last; ++j) {
    if (!state.sees(side, j)) {
      continue;
    }
    ++state.seen;
    const Score score = score_of(problem.score, state.query.data(), side.keys.data() + j * d, d);
    const double offset = side.bias[usize(j)] + state.mask[usize(j)];
    const double s = capped(problem, score.value) + offset;
    state.scores[usize(j)] = s;
    state.size = std::max(state.size, score.size);
    state.max_mask = std::max(state.max_mask, state.mask[usize(j)]);
    state.max_offset = std::max(state.max_offset, offset);
    state.max_abs_offset = std::max(state.max_abs_offset, std::fabs(offset));
    state.max_score = std::max(state.max_score, s);
    state.min_score = std::min(state.min_score, s);
  }
}

void answer(const HeadProblem& problem, const KeySide& side, std::int64_t row, Row& state) {
  const std::int64_t d_v = problem.value_dim();
  base::load_rows(problem.queries, row, 1, state.query.data(), problem.dim());
  load_mask(problem, side, row, state);
  load_scores(problem, side, state);
  std::fill(state.output.begin(), state.output.end(), 0.0);
  state.log_sum = -kInfinity;
  if (state.seen == 0) {
    return;
  }
  CompensatedSum denominator;
  for (std::int64_t j = state.range.first; j < state.range.last; ++j) {
    if (state.sees(side, j)) {
      double& s = state.scores[usize(j)];
      s = std::exp(s - state.max_score);
      denominator.add(s);
    }
  }
  state.log_sum = std::log(denominator.value());
  state.smallest_value = kInfinity;
  for (std::int64_t c = 0; c < d_v; ++c) {
    CompensatedSum sum;
    double low = kInfinity;
    double high = -kInfinity;
    for (std::int64_t j = state.range.first; j < state.range.last; ++j) {
      if (state.sees(side, j)) {
        const double v = side.values[usize(j * d_v + c)];
        sum.add(state.scores[usize(j)] / denominator.value() * v);
        low = std::min(low, v);
        high = std::max(high, v);
        state.smallest_value = v == 0.0 ? state.smallest_value : std::min(state.smallest_value, std::fabs(v));
      }
    }
    // Into the convex hull of the values, which holds the true answer; a NaN stays one, infinite values stay alone.
    const double value = sum.value();
    state.output[usize(c)] = std::isfinite(low) && std::isfinite(high) ? std::clamp(value, low, high) : value;
    state.low[usize(c)] = low;
    state.high[usize(c)] = high;
  }
  // Scores against an infinite query are infinite or NaN, and neither has a softmax.
  if (!std::all_of(state.query.begin(), state.query.end(), [](double q) { return std::isfinite(q); })) {
    std::fill(state.output.begin(), state.output.end(), std::nan(""));
    state.log_sum = std::nan("");
  }
}

/// Bound on |computed s_ij - s_ij|, bias and masks included, for keys that are `reach` or less below the row's maximum;
/// with an infinite reach for every key.
double score_error(const HeadProblem& problem, const KeySide& side, const Row& row, double reach) {
  const auto d = static_cast<double>(problem.dim());
  double size = row.size * kSlack;
  double error = d * kTiny;
  if (problem.score.kind == ScoreKind::gaussian) {
    // Relative to |s|, which for near keys is at most the largest offset - max_score + reach.
    size = std::min(size, std::max(row.max_offset - row.max_score, 0.0) * (1 + 0x1p-20) + reach);
    error += gamma_of(d + 6) * size;
  } else {
    error += gamma_of(d + 3) * size + d * kTiny * std::fabs(problem.score.scale);
  }
  if (problem.soft_cap > 0.0) {
    // tanh within four units in the last place, a division and a product; tanh itself magnifies neither an absolute nor
    // a relative error.
    size = std::min(size, problem.soft_cap);
    error += gamma_of(10) * size + 8 * kTiny * (problem.soft_cap + 1);
  }
  // Offsets of near keys: what is hidden by large negative numbers costs nothing.
  const double offset = std::min(row.max_abs_offset, std::fabs(row.max_score) + reach + size + 1);
  error += 2 * kUnit * offset;
  if (problem.pairs.additive.data != nullptr) {  // a sum of two biases meets a third number
    error += kUnit * std::min(side.max_abs_bias, offset + side.max_bias + row.max_mask);
  }
  return error;
}

/// Stores a row and its certificate.
void deliver(const HeadProblem& problem, const KeySide& side, const Row& row, std::int64_t target,
             const HeadOutputs& out) {
  const std::int64_t d_v = problem.value_dim();
  if (d_v > 0 && out.output.data != nullptr) {
    base::store_row(out.output, target, row.output.data(), d_v);
  }
  write(out.approximation, target, 0.0);
  if (row.seen == 0) {
    write(out.lse, target, -kInfinity);
    write(out.row_max, target, -kInfinity);
    for (double* zero : {out.lse_bound, out.rounding, out.storage, out.relative}) {
      write(zero, target, 0.0);
    }
    return;
  }
  const auto n = static_cast<double>(row.seen);
  const double reach = kFar + std::log(n) + 1;
  const double delta = score_error(problem, side, row, reach);
  const double span = row.max_score - row.min_score;
  // Subtracting the maximum, and exp within one unit in the last place.
  const double zeta = (delta + kUnit * std::min(span, reach) + 3 * kUnit) * kSlack;
  const double far = span + 2 * delta < kFar ? 0.0 : 4 * 0x1p-90;
  const double sums = 6 * kUnit + 4 * gamma_of(n) * gamma_of(n);
  const DType stored = out.output.dtype;
  const bool narrow = size_of(stored) == 2;

  const double lse = row.max_score + row.log_sum;
  bool finite = std::isfinite(lse);
  double rounding = 0.0;
  double largest = 0.0;
  for (std::int64_t c = 0; c < d_v; ++c) {
    const double low = row.low[usize(c)];
    const double high = row.high[usize(c)];
    const double weights =
        delta < 0.25 ? (0.5 * high - 0.5 * low) * std::min(1.0, tanh_half(zeta) + far) * 2 : kInfinity;
    const double bound = weights + sums * std::max(std::fabs(low), std::fabs(high)) + 4 * n * kTiny;
    // Output and truth lie in the hull.
    rounding = std::max(rounding, std::min(bound, high - low));
    largest = std::max(largest, std::fabs(row.output[usize(c)]));
    finite = finite && std::isfinite(row.output[usize(c)]);
  }
  const double rounded = storage_unit(stored) * largest + storage_tiny(stored);
  // The relative form: of all keys alike, and no product nor a stored average in the subnormal range.
  const double every_delta = far == 0.0 ? delta : score_error(problem, side, row, kInfinity);
  const double every = far == 0.0 ? zeta : (every_delta + kUnit * span + 3 * kUnit) * kSlack;
  const double weighted = std::expm1(2 * every) + sums * std::exp(2 * every) + (narrow ? 0.0 : storage_unit(stored));
  const double least = stored == DType::float32 ? 0x1p-126 : 0x1p-1000;
  const bool normal = std::exp(-span) / n * std::min(1.0, row.smallest_value) >= least;
  write(out.rounding, target, finite ? (rounding + (narrow ? 0.0 : rounded)) * kSlack : kInfinity);
  write(out.storage, target,
        narrow ? (stored == DType::float16 && largest > 65504 ? kInfinity : rounded * kSlack) : 0.0);
  write(out.relative, target, normal && finite && every_delta < 0.25 ? weighted * kSlack : kInfinity);
  write(out.lse, target, lse);
  const double lse_error =
      zeta + far + 2 * kUnit + 2 * gamma_of(n) * gamma_of(n) + 3 * kUnit * (row.log_sum + 1) + kUnit * std::fabs(lse);
  write(out.lse_bound, target, delta < 0.25 && std::isfinite(lse) ? lse_error * kSlack : kInfinity);
  write(out.row_max, target, row.max_score);
}

std::int64_t count_pairs(const HeadProblem& problem, const RowList& rows, std::int64_t first, std::int64_t last) {
  std::int64_t pairs = 0;
  for (std::int64_t i = first; i < last; ++i) {
    pairs += problem.mask.range(rows.row(i), problem.n_kv()).size();
  }
  return pairs;
}

/// About 16 times the work per pair of the exact engine: nothing here is vectorised.
double work_of(const HeadProblem& problem, std::int64_t pairs) {
  return 16.0 * static_cast<double>(pairs) * static_cast<double>(problem.dim() + problem.value_dim() + 12);
}

}  // namespace

double reference_work(const HeadProblem& problem, const RowList& rows) {
  return work_of(problem, count_pairs(problem, rows, 0, rows.count(problem.n_q())));
}

void reference_rows(const HeadProblem& problem, const RowList& rows, const HeadOutputs& out,
                    const base::Context& context) {
  const std::int64_t count = rows.count(problem.n_q());
  const base::FloatEnvironment environment;
  const KeySide side = load_keys(problem, context);
  const double work_per_row = static_cast<double>(problem.n_kv()) * static_cast<double>(problem.dim() + 1);
  const auto rows_per_item = static_cast<std::int64_t>(std::clamp(kProductsPerItem / (work_per_row + 1), 1.0, 64.0));
  const std::int64_t items = base::blocks_of(count, rows_per_item);
  std::vector<Row> states(usize(std::max(1, context.threads)), make_row(problem));
  base::parallel_for(context, items, [&](std::int64_t item, int thread) {
    Row& state = states[usize(thread)];
    const std::int64_t first = item * rows_per_item;
    const std::int64_t last = std::min(count, first + rows_per_item);
    for (std::int64_t i = first; i < last; ++i) {
      answer(problem, side, rows.row(i), state);
      if (problem.non_finite == NonFinite::error && state.seen > 0 && !std::isfinite(state.max_score + state.log_sum)) {
        base::fail(ErrorCode::non_finite, "scores of row " + std::to_string(rows.row(i)) + " (batch " +
                                              std::to_string(problem.batch) + ", head " + std::to_string(problem.head) +
                                              ") are beyond the range of float64");
      }
      deliver(problem, side, state, rows.target(i), out);
    }
    if (context.progress != nullptr &&
        !context.progress->add(work_of(problem, count_pairs(problem, rows, first, last)))) {
      base::check_cancelled(context);
    }
  });
}

}  // namespace polyattn::engines
