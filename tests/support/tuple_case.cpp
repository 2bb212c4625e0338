#include "support/tuple_case.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace polyattn::test {

namespace {

constexpr long double kInfinite = std::numeric_limits<long double>::infinity();

std::size_t at(std::int64_t row, std::int64_t columns, std::int64_t column) {
  return static_cast<std::size_t>(row * columns + column);
}

/// What one tuple contributes: product of keys and of values, and the sum of the biases.
struct Partial {
  std::vector<long double> key;
  std::vector<long double> value;
  long double bias = 0.0L;
};

/// Calls visit(partial) for every tuple of row `row` from set `s` on.
template <class Visit>
void for_tuples(const TupleCase& head, std::int64_t row, std::size_t s, const Partial& so_far, const Visit& visit) {
  if (s == head.sets.size()) {
    visit(so_far);
    return;
  }
  const TupleCase::Set& set = head.sets[s];
  const engines::KeyRange range = set.mask.range(row, set.size);
  for (std::int64_t j = range.first; j < range.last; ++j) {
    const double bias = set.bias.empty() ? 0.0 : set.bias[static_cast<std::size_t>(j)];
    if (bias == -std::numeric_limits<double>::infinity()) {
      continue;
    }
    Partial next = so_far;
    for (std::int64_t l = 0; l < head.dim; ++l) {
      next.key[static_cast<std::size_t>(l)] *= static_cast<long double>(set.keys[at(j, head.dim, l)]);
    }
    for (std::int64_t c = 0; c < head.value_dim; ++c) {
      next.value[static_cast<std::size_t>(c)] *= static_cast<long double>(set.values[at(j, head.value_dim, c)]);
    }
    next.bias += static_cast<long double>(bias);
    for_tuples(head, row, s + 1, next, visit);
  }
}

long double score(const TupleCase& head, std::int64_t row, const Partial& tuple) {
  long double sum = 0.0L;
  for (std::int64_t l = 0; l < head.dim; ++l) {
    sum += static_cast<long double>(head.queries[at(row, head.dim, l)]) * tuple.key[static_cast<std::size_t>(l)];
  }
  return static_cast<long double>(head.scale) * sum + tuple.bias;
}

}  // namespace

base::Rows TupleCase::rows(std::vector<double>& data, std::int64_t count, std::int64_t columns) {
  base::Rows out;
  out.rows = count;
  out.columns = columns;
  base::RowPiece piece;
  piece.count = count;
  piece.row_stride = columns;
  if (single) {
    std::vector<float> stored;
    for (double& x : data) {
      stored.push_back(static_cast<float>(x));
      x = static_cast<double>(stored.back());
    }
    floats_.push_back(std::move(stored));
    piece.data = floats_.back().data();
    piece.dtype = DType::float32;
  } else {
    piece.data = data.data();
    piece.dtype = DType::float64;
  }
  if (count > 0) {
    out.pieces.push_back(piece);
  }
  return out;
}

engines::TupleProblem TupleCase::problem() {
  floats_.clear();
  engines::TupleProblem out;
  out.queries = rows(queries, n_q, dim);
  out.scale = scale;
  for (Set& set : sets) {
    engines::KeySet keys;
    keys.keys = rows(set.keys, set.size, dim);
    keys.values = rows(set.values, set.size, value_dim);
    if (!set.bias.empty()) {
      keys.bias.rows = rows(set.bias, set.size, 1);
    }
    keys.mask = set.mask;
    out.sets.push_back(keys);
  }
  return out;
}

TupleTruth brute_force(const TupleCase& head) {
  TupleTruth truth;
  Partial one;
  one.key.assign(static_cast<std::size_t>(head.dim), 1.0L);
  one.value.assign(static_cast<std::size_t>(head.value_dim), 1.0L);
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    long double largest = -kInfinite;
    for_tuples(head, i, 0, one, [&](const Partial& tuple) { largest = std::max(largest, score(head, i, tuple)); });
    long double weight = 0.0L;
    std::vector<long double> sums(static_cast<std::size_t>(head.value_dim), 0.0L);
    for_tuples(head, i, 0, one, [&](const Partial& tuple) {
      const long double w = std::exp(score(head, i, tuple) - largest);
      weight += w;
      for (std::size_t c = 0; c < sums.size(); ++c) {
        sums[c] += w * tuple.value[c];
      }
    });
    for (const long double sum : sums) {
      truth.output.push_back(weight > 0.0L ? sum / weight : 0.0L);
    }
    truth.lse.push_back(weight > 0.0L ? largest + std::log(weight) : -kInfinite);
  }
  return truth;
}

TupleRun run_tuples(TupleCase& head, const TupleAsk& ask) {
  const engines::TupleProblem problem = head.problem();
  base::Context context;
  context.threads = ask.threads;
  TupleRun run;
  const auto rows = static_cast<std::size_t>(head.n_q);
  run.output.assign(rows * static_cast<std::size_t>(head.value_dim), -7.0);
  run.approximation.assign(rows, -1.0);
  run.rounding.assign(rows, -1.0);
  run.answered.assign(rows, 0);
  engines::HeadOutputs out;
  out.output = {run.output.data(), DType::float64, head.value_dim, 1};
  out.approximation = run.approximation.data();
  out.rounding = run.rounding.data();
  if (ask.with_lse) {
    run.lse.assign(rows, -7.0);
    run.lse_bound.assign(rows, -1.0);
    out.lse = run.lse.data();
    out.lse_bound = run.lse_bound.data();
  }
  const engines::TupleFrame frame = engines::make_tuple_frame(problem, context);
  if (ask.predict) {
    run.prediction = engines::predict_tuples(problem, frame, ask.choice, ask.acceptance, DType::float64, context);
  }
  run.summary = engines::polynomial_tuples(problem, frame, ask.choice, ask.acceptance, out, run.answered, context);
  return run;
}

double worst_ratio(const TupleCase& head, const TupleRun& run, const TupleTruth& truth) {
  double worst = 0.0;
  const auto take = [&](long double error, double bound) {
    const double ratio = static_cast<double>(error / static_cast<long double>(bound));
    worst = error == 0.0L ? worst : ratio >= 0.0 ? std::max(worst, ratio) : std::numeric_limits<double>::infinity();
  };
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    const auto row = static_cast<std::size_t>(i);
    if (run.answered[row] == 0) {
      continue;
    }
    for (std::int64_t c = 0; c < head.value_dim; ++c) {
      const std::size_t k = at(i, head.value_dim, c);
      take(std::fabs(static_cast<long double>(run.output[k]) - truth.output[k]),
           run.approximation[row] + run.rounding[row]);
    }
    if (!run.lse.empty()) {
      take(std::fabs(static_cast<long double>(run.lse[row]) - truth.lse[row]), run.lse_bound[row]);
    }
  }
  return worst;
}

TupleCase uniform_case(std::uint64_t seed, std::size_t sets, std::int64_t n_q, std::int64_t keys, std::int64_t dim,
                       std::int64_t value_dim, double scale) {
  std::mt19937_64 generator(seed);
  const auto uniform = [&] { return static_cast<double>(generator() >> 11) * 0x1p-52 - 1.0; };
  TupleCase out;
  out.n_q = n_q;
  out.dim = dim;
  out.value_dim = value_dim;
  out.scale = scale;
  for (std::int64_t i = 0; i < n_q * dim; ++i) {
    out.queries.push_back(uniform());
  }
  for (std::size_t s = 0; s < sets; ++s) {
    TupleCase::Set set;
    set.size = keys;
    for (std::int64_t i = 0; i < keys * dim; ++i) {
      set.keys.push_back(uniform());
    }
    for (std::int64_t j = 0; j < keys; ++j) {
      for (std::int64_t c = 0; c < value_dim; ++c) {
        set.values.push_back(std::sin(3.0 * set.keys[at(j, dim, c % dim)]));
      }
    }
    out.sets.push_back(std::move(set));
  }
  return out;
}

}  // namespace polyattn::test
