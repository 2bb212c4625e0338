#include "engines/reference/reference.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::engines {
namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kUnit = 0x1p-53;       ///< U: |fl(x) - x| <= U |x|
constexpr double kTiny = 0x1p-1074;     ///< absolute error of one operation that underflows (half of it, in fact)
constexpr double kSlack = 1 + 0x1p-30;  ///< covers the roundings made in computing a bound (at most 2^20 in a row)
constexpr double kFar = 63.0;  ///< keys below exp(-kFar)/n of the largest weight count as far; exp(-63) < 2^-90
constexpr double kProductsPerItem = 0x1p16;  ///< keeps the time between two looks at the progress meter short

/// gamma_k = kU / (1 - kU), for k up to 2^40.
double gamma_of(double k) { return k * kUnit / (1 - k * kUnit); }

/// Neumaier's compensated sum: |result - sum x| <= U |sum x| + gamma_n^2 sum |x|.
class CompensatedSum {
 public:
  void add(double x) {
    const double total = sum_ + x;
    lost_ += std::fabs(sum_) >= std::fabs(x) ? (sum_ - total) + x : (x - total) + sum_;
    sum_ = total;
  }
  [[nodiscard]] double value() const { return std::isfinite(sum_) ? sum_ + lost_ : sum_; }

 private:
  double sum_ = 0.0;
  double lost_ = 0.0;
};

/// Keys, values and bias of a head in float64, with what the bounds need to know about the visible ones.
struct KeySide {
  base::Buffer<double> keys;    // [n_kv, d]
  base::Buffer<double> values;  // [n_kv, d_v]
  base::Buffer<double> bias;    // [n_kv]
  std::int64_t first_visible = std::numeric_limits<std::int64_t>::max();
  double max_norm = 0.0;            // max_j |k_j|
  std::vector<double> max_abs_key;  // [d]
  std::vector<double> min_value;    // [d_v]
  std::vector<double> max_value;    // [d_v]
  double max_abs_bias = 0.0;
  double max_bias = -kInfinity;
  double smallest_value = kInfinity;  // smallest non-zero |v|
};

void note_key(KeySide& side, std::int64_t j, std::int64_t d, std::int64_t d_v) {
  const double* key = side.keys.data() + j * d;
  const double* value = side.values.data() + j * d_v;
  double square = 0.0;
  for (std::int64_t l = 0; l < d; ++l) {
    square += key[l] * key[l];
    side.max_abs_key[usize(l)] = std::max(side.max_abs_key[usize(l)], std::fabs(key[l]));
  }
  // 2^-1000 d stands for squares that underflow.
  side.max_norm = std::max(side.max_norm, std::sqrt(square + 0x1p-1000 * static_cast<double>(d)) * kSlack);
  for (std::int64_t c = 0; c < d_v; ++c) {
    side.min_value[usize(c)] = std::min(side.min_value[usize(c)], value[c]);
    side.max_value[usize(c)] = std::max(side.max_value[usize(c)], value[c]);
    if (value[c] != 0.0) {
      side.smallest_value = std::min(side.smallest_value, std::fabs(value[c]));
    }
  }
  side.first_visible = std::min(side.first_visible, j);
  side.max_abs_bias = std::max(side.max_abs_bias, std::fabs(side.bias[usize(j)]));
  side.max_bias = std::max(side.max_bias, side.bias[usize(j)]);
}

KeySide load_keys(const HeadProblem& problem, const base::Context& context) {
  const std::int64_t n = problem.n_kv();
  const std::int64_t d = problem.dim();
  const std::int64_t d_v = problem.value_dim();
  KeySide side;
  side.keys = base::Buffer<double>(base::checked_mul(n, d, "keys"), context.memory);
  side.values = base::Buffer<double>(base::checked_mul(n, d_v, "values"), context.memory);
  side.bias = base::Buffer<double>(n, 0.0, context.memory);
  side.max_abs_key.assign(usize(d), 0.0);
  side.min_value.assign(usize(d_v), kInfinity);
  side.max_value.assign(usize(d_v), -kInfinity);
  if (problem.has_bias()) {
    load_bias(problem, 0, n, side.bias.data());
  }
  for (std::int64_t j = 0; j < n; ++j) {
    if (side.bias[usize(j)] == -kInfinity) {
      continue;
    }
    base::load_rows(problem.keys, j, 1, side.keys.data() + j * d, d);
    base::load_rows(problem.values, j, 1, side.values.data() + j * d_v, d_v);
    note_key(side, j, d, d_v);
  }
  return side;
}

double score_of(const HeadScore& score, const double* q, const double* k, std::int64_t d) {
  double sum = 0.0;
  if (score.kind == ScoreKind::dot) {
    for (std::int64_t l = 0; l < d; ++l) {
      sum += q[l] * k[l];
    }
    return score.scale * sum;
  }
  for (std::int64_t l = 0; l < d; ++l) {
    const double t = (q[l] - k[l]) / score.bandwidth[usize(l)];
    sum += t * t;
  }
  return -0.5 * sum;
}

/// What one thread works with.
struct Row {
  std::vector<double> query;   // [d]
  std::vector<double> scores;  // [n_kv], -inf where hidden; then weights
  std::vector<double> output;  // [d_v]
  double max_score = -kInfinity;
  double min_score = kInfinity;
  double log_sum = -kInfinity;  // log of sum_j exp(s_j - max)
  bool empty = true;            // no key visible
};

void answer(const HeadProblem& problem, const KeySide& side, std::int64_t row, Row& state) {
  const std::int64_t d = problem.dim();
  const std::int64_t d_v = problem.value_dim();
  const std::int64_t visible = problem.mask.visible(row, problem.n_kv());
  base::load_rows(problem.queries, row, 1, state.query.data(), d);
  std::fill(state.output.begin(), state.output.end(), 0.0);
  state.max_score = -kInfinity;
  state.min_score = kInfinity;
  state.log_sum = -kInfinity;
  state.empty = side.first_visible >= visible;
  if (state.empty) {
    return;
  }
  for (std::int64_t j = 0; j < visible; ++j) {
    const double bias = side.bias[usize(j)];
    double& s = state.scores[usize(j)];
    s = bias;
    if (bias != -kInfinity) {
      s = score_of(problem.score, state.query.data(), side.keys.data() + j * d, d) + bias;
      state.max_score = std::max(state.max_score, s);
      state.min_score = std::min(state.min_score, s);
    }
  }
  CompensatedSum denominator;
  for (std::int64_t j = 0; j < visible; ++j) {
    double& s = state.scores[usize(j)];
    s = side.bias[usize(j)] == -kInfinity ? 0.0 : std::exp(s - state.max_score);
    denominator.add(s);
  }
  state.log_sum = std::log(denominator.value());
  for (std::int64_t c = 0; c < d_v; ++c) {
    CompensatedSum sum;
    for (std::int64_t j = 0; j < visible; ++j) {
      if (side.bias[usize(j)] != -kInfinity) {
        sum.add(state.scores[usize(j)] / denominator.value() * side.values[usize(j * d_v + c)]);
      }
    }
    // Into the convex hull of the values, which holds the true answer; a NaN stays one, infinite values stay alone.
    const double low = side.min_value[usize(c)];
    const double high = side.max_value[usize(c)];
    const double value = sum.value();
    state.output[usize(c)] = std::isfinite(low) && std::isfinite(high) ? std::clamp(value, low, high) : value;
  }
  // Scores against an infinite query are infinite or NaN, and neither has a softmax.
  if (!std::all_of(state.query.begin(), state.query.end(), [](double q) { return std::isfinite(q); })) {
    std::fill(state.output.begin(), state.output.end(), std::nan(""));
    state.log_sum = std::nan("");
  }
}

/// Bound on |computed s_ij - s_ij|, bias included, for keys not far below the row's maximum.
double score_error(const HeadProblem& problem, const KeySide& side, const Row& row) {
  const std::int64_t d = problem.dim();
  const double bias_part = 2 * kUnit * side.max_abs_bias;
  if (problem.score.kind == ScoreKind::gaussian) {
    // Relative to |s|, which is at most max_bias - max_score + kFar + log n for near keys.
    const double n = static_cast<double>(problem.n_kv());
    const double size = std::max(side.max_bias - row.max_score, 0.0) * (1 + 0x1p-20) + kFar + std::log(n) + 1;
    return gamma_of(static_cast<double>(d) + 6) * size + bias_part + static_cast<double>(d) * kTiny;
  }
  double square = 0.0;
  double hoelder = 0.0;
  for (std::int64_t l = 0; l < d; ++l) {
    square += row.query[usize(l)] * row.query[usize(l)];
    hoelder += std::fabs(row.query[usize(l)]) * side.max_abs_key[usize(l)];
  }
  const double schwarz = std::sqrt(square + 0x1p-1000 * static_cast<double>(d)) * side.max_norm;
  const double size = std::fabs(problem.score.scale) * std::min(schwarz, hoelder) * kSlack;
  const double underflow = static_cast<double>(d) * kTiny * (1 + std::fabs(problem.score.scale));
  return gamma_of(static_cast<double>(d) + 3) * size + bias_part + underflow;
}

double tanh_half(double zeta) { return zeta > 40 ? 1.0 : std::tanh(0.5 * zeta) * kSlack; }

double storage_unit(DType type) { return type == DType::float64 ? 0.0 : base::unit_roundoff(type); }
double storage_tiny(DType type) {
  return type == DType::float16 ? 0x1p-25 : type == DType::bfloat16 ? 0x1p-134 : type == DType::float32 ? 0x1p-150 : 0;
}

void write(double* array, std::int64_t target, double value) {
  if (array != nullptr) {
    array[target] = value;
  }
}

/// Stores a row and its certificate.
void deliver(const HeadProblem& problem, const KeySide& side, const Row& row, std::int64_t target,
             const HeadOutputs& out) {
  const std::int64_t d_v = problem.value_dim();
  if (d_v > 0 && out.output.data != nullptr) {
    base::store_row(out.output, target, row.output.data(), d_v);
  }
  write(out.approximation, target, 0.0);
  if (row.empty) {
    write(out.lse, target, -kInfinity);
    write(out.row_max, target, -kInfinity);
    for (double* zero : {out.lse_bound, out.rounding, out.storage, out.relative}) {
      write(zero, target, 0.0);
    }
    return;
  }
  const double n = static_cast<double>(problem.n_kv());
  const double delta = score_error(problem, side, row);
  const double span = row.max_score - row.min_score;
  // Subtracting the maximum, and exp within one unit in the last place.
  const double zeta = (delta + kUnit * std::min(span, kFar + std::log(n) + 1) + 3 * kUnit) * kSlack;
  const double far = span + 2 * delta < kFar ? 0.0 : 4 * 0x1p-90;
  const double sums = 6 * kUnit + 4 * gamma_of(n) * gamma_of(n);
  const DType stored = out.output.dtype;
  const bool narrow = size_of(stored) == 2;

  const double lse = row.max_score + row.log_sum;
  bool finite = std::isfinite(lse);
  double rounding = 0.0;
  double largest = 0.0;
  for (std::int64_t c = 0; c < d_v; ++c) {
    const double low = side.min_value[usize(c)];
    const double high = side.max_value[usize(c)];
    const double weights =
        delta < 0.25 ? (0.5 * high - 0.5 * low) * std::min(1.0, tanh_half(zeta) + far) * 2 : kInfinity;
    const double bound = weights + sums * std::max(std::fabs(low), std::fabs(high)) + 4 * n * kTiny;
    // Output and truth lie in the hull.
    rounding = std::max(rounding, std::min(bound, high - low));
    largest = std::max(largest, std::fabs(row.output[usize(c)]));
    finite = finite && std::isfinite(row.output[usize(c)]);
  }
  const double rounded = storage_unit(stored) * largest + storage_tiny(stored);
  const double weighted = std::expm1(2 * zeta) + sums * std::exp(2 * zeta) + (narrow ? 0.0 : storage_unit(stored));
  // The relative form needs every key near, and no product nor a stored average in the subnormal range.
  const double least = stored == DType::float32 ? 0x1p-126 : 0x1p-1000;
  const bool all_near = far == 0.0 && std::exp(-span) / n * side.smallest_value >= least;
  write(out.rounding, target, finite ? (rounding + (narrow ? 0.0 : rounded)) * kSlack : kInfinity);
  write(out.storage, target,
        narrow ? (stored == DType::float16 && largest > 65504 ? kInfinity : rounded * kSlack) : 0.0);
  write(out.relative, target, all_near && finite && delta < 0.25 ? weighted * kSlack : kInfinity);
  write(out.lse, target, lse);
  const double lse_error =
      zeta + far + 2 * kUnit + 2 * gamma_of(n) * gamma_of(n) + 3 * kUnit * (row.log_sum + 1) + kUnit * std::fabs(lse);
  write(out.lse_bound, target, delta < 0.25 && std::isfinite(lse) ? lse_error * kSlack : kInfinity);
  write(out.row_max, target, row.max_score);
}

std::int64_t count_pairs(const HeadProblem& problem, const RowList& rows, std::int64_t first, std::int64_t last) {
  std::int64_t pairs = 0;
  for (std::int64_t i = first; i < last; ++i) {
    pairs += problem.mask.visible(rows.row(i), problem.n_kv());
  }
  return pairs;
}

/// About 16 times the work per pair of the exact engine: nothing here is vectorised.
double work_of(const HeadProblem& problem, std::int64_t pairs) {
  return 16.0 * static_cast<double>(pairs) * static_cast<double>(problem.dim() + problem.value_dim() + 12);
}

}  // namespace

std::int64_t reference_bytes(std::int64_t n_kv, std::int64_t dim, std::int64_t value_dim, int threads) {
  return base::checked_mul(8, base::checked_mul(n_kv, dim + value_dim + 1 + threads, "keys"), "keys");
}

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
  std::vector<Row> states(usize(std::max(1, context.threads)));
  base::parallel_for(context, items, [&](std::int64_t item, int thread) {
    Row& state = states[usize(thread)];
    state.query.resize(usize(problem.dim()));
    state.scores.resize(usize(problem.n_kv()));
    state.output.resize(usize(problem.value_dim()));
    const std::int64_t first = item * rows_per_item;
    const std::int64_t last = std::min(count, first + rows_per_item);
    for (std::int64_t i = first; i < last; ++i) {
      answer(problem, side, rows.row(i), state);
      if (problem.non_finite == NonFinite::error && !state.empty && !std::isfinite(state.max_score + state.log_sum)) {
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
