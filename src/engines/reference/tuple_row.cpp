#include "engines/reference/tuple_row.hpp"

#include "engines/reference/sums.hpp"

#include <algorithm>

namespace polyattn::engines::reference {
namespace {

using base::usize;

/// The constants of a row that its bound is made of, products over the sets.
struct Products {
  double keys = 1.0;            ///< of max(1, |k|)
  double values = 1.0;          ///< of max(1, |v|)
  double smallest_value = 1.0;  ///< of min(1, smallest non-zero |v|)
};

Products products_of(const TupleRow& row) {
  Products of;
  for (const SetMeasures& set : row.measures) {
    of.keys *= std::max(1.0, set.max_key);
    of.values *= std::max(1.0, set.max_value);
    of.smallest_value *= std::min(1.0, set.smallest_value);
  }
  return of;
}

/// Bound on |computed score - score|, biases included, for tuples that are `reach` or less below the row's maximum;
/// with an infinite reach for every tuple.
double score_error(const TupleRow& row, double scale, double reach) {
  const auto sets = static_cast<double>(row.measures.size());
  const auto dim = static_cast<double>(row.products.front().size());
  const double size = row.size * kSlack;
  double error = gamma_of(dim + sets + 2) * size;
  error += dim * sets * kTiny * products_of(row).keys * std::max(1.0, std::fabs(scale));
  // Biases of near tuples: what is hidden by large negative numbers costs nothing.
  double biases = 0.0;
  for (const SetMeasures& set : row.measures) {
    double others = 0.0;
    for (const SetMeasures& other : row.measures) {
      others += &other == &set ? 0.0 : std::fabs(other.max_bias);
    }
    const double near = std::fabs(row.max_score) + reach + size + others + 1;
    biases += std::min(set.max_abs_bias, std::max(std::fabs(set.max_bias), near));
  }
  return error + gamma_of(sets) * biases;
}

}  // namespace

TupleRow::TupleRow(const TupleProblem& problem)
    : visible(problem.sets.size()),
      measures(problem.sets.size()),
      products(problem.order(), std::vector<double>(usize(problem.dim()))),
      value_products(problem.order(), std::vector<double>(usize(problem.value_dim()), 1.0)),
      output(usize(problem.value_dim())),
      low(output.size()),
      high(output.size()) {}

void TupleRow::look(std::size_t s, const TupleSet& set, const KeyRange& range) {
  const auto d = static_cast<std::int64_t>(products.front().size());
  const auto d_v = static_cast<std::int64_t>(output.size());
  visible[s].clear();
  measures[s] = {-kInfinity, 0.0, 0.0, 0.0, kInfinity};
  SetMeasures& seen = measures[s];
  for (std::int64_t j = range.first; j < range.last; ++j) {
    const double bias = set.bias[usize(j)];
    if (bias == -kInfinity) {
      continue;
    }
    visible[s].push_back(j);
    seen.max_bias = std::max(seen.max_bias, bias);
    seen.max_abs_bias = std::max(seen.max_abs_bias, std::fabs(bias));
    for (const double k : std::span(set.keys.data() + j * d, usize(d))) {
      seen.max_key = std::max(seen.max_key, std::fabs(k));
    }
    for (const double v : std::span(set.values.data() + j * d_v, usize(d_v))) {
      seen.max_value = std::max(seen.max_value, std::fabs(v));
      seen.smallest_value = v == 0.0 ? seen.smallest_value : std::min(seen.smallest_value, std::fabs(v));
    }
  }
}

TupleRowBound certify_row(const TupleRow& row, double scale, DType output) {
  const double reach = kFar + std::log(row.tuples) + 1;
  const double delta = score_error(row, scale, reach);
  const bool known = delta < kMostScoreError;
  const double span = row.max_score - row.min_score;
  // Subtracting the maximum, and exp within one unit in the last place.
  const double zeta = (delta + kUnit * std::min(span, reach) + 3 * kUnit) * kSlack;
  const double far = span + 2 * delta < kFar ? 0.0 : 4 * 0x1p-90;
  const auto sets = static_cast<double>(row.measures.size());
  const double squared = gamma_of(row.tuples) * gamma_of(row.tuples);
  const double sums = gamma_of(5 + sets) + 4 * squared;
  const Products products = products_of(row);
  const double lse = row.max_score + row.log_sum;

  TupleRowBound bound;
  bool finite = std::isfinite(lse);
  double largest = 0.0;
  for (std::size_t c = 0; c < row.output.size(); ++c) {
    const double range = row.high[c] - row.low[c];
    const double magnitude = std::max(std::fabs(row.low[c]), std::fabs(row.high[c])) * kSlack;
    const double rounded = gamma_of(sets) * magnitude + sets * kTiny * products.values;  // of the products of values
    const double weights =
        known ? (0.5 * row.high[c] - 0.5 * row.low[c] + rounded) * std::min(1.0, tanh_half(zeta) + far) * 2 : kInfinity;
    const double computed = weights + sums * magnitude + 4 * row.tuples * row.tuples * kTiny;
    // The output lies in the hull of the products as computed, the truth in that of the products.
    bound.rounding = std::max(bound.rounding, std::min(computed, range) + rounded);
    largest = std::max(largest, std::fabs(row.output[c]));
    finite = finite && std::isfinite(row.output[c]);
  }
  const bool narrow = size_of(output) == 2;
  const double stored = storage_unit(output) * largest + storage_tiny(output);
  bound.storage = narrow ? (output == DType::float16 && largest > 65504 ? kInfinity : stored * kSlack) : 0.0;
  bound.rounding = finite ? (bound.rounding + (narrow ? 0.0 : stored)) * kSlack : kInfinity;
  // The relative form: of all tuples alike, and no product nor a stored average in the subnormal range.
  const double every_delta = far == 0.0 ? delta : score_error(row, scale, kInfinity);
  const double every = far == 0.0 ? zeta : (every_delta + kUnit * span + 3 * kUnit) * kSlack;
  const double least = output == DType::float32 ? 0x1p-126 : 0x1p-1000;
  const double smallest = std::exp(-span) / (4 * row.tuples) * products.smallest_value;
  bound.relative = kInfinity;
  if (every_delta < kMostScoreError && finite && smallest >= least) {
    const double product = sums + gamma_of(sets) + (narrow ? 0.0 : storage_unit(output));
    bound.relative = (std::expm1(2 * every) + product * std::exp(2 * every)) * kSlack;
  }
  const double last = 3 * kUnit * (std::fabs(row.log_sum) + 1) + kUnit * std::fabs(lse);
  bound.lse = known && std::isfinite(lse) ? (zeta + far + 2 * kUnit + 2 * squared + last) * kSlack : kInfinity;
  return bound;
}

}  // namespace polyattn::engines::reference
