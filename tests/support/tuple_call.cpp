#include "support/tuple_call.hpp"

#include "support/judge.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace polyattn::test {

namespace {

std::size_t usize(std::int64_t n) { return static_cast<std::size_t>(n); }

std::vector<ConstView> views_of(const std::vector<Stored>& tensors) {
  std::vector<ConstView> views;
  for (const Stored& tensor : tensors) {
    views.push_back(tensor.view());
  }
  return views;
}

/// Keys one row of a head sees in a set, as their numbers.
struct SeenSet {
  std::vector<const double*> k, v;
  std::vector<double> bias;
};

/// Row i sees keys of set s: by position, then by bias.
SeenSet seen_by(const TupleCall& tuples, std::size_t s, std::int64_t b, std::int64_t h, std::int64_t i) {
  const Stored& k = tuples.k[s];
  const std::int64_t n = k.shape[2];
  const std::int64_t own = h / (tuples.q.shape[1] / k.shape[1]);
  const std::int64_t diagonal = i + (tuples.causal == Causal::lower_right ? n - tuples.q.shape[2] : 0);
  SeenSet seen;
  for (std::int64_t j = 0; j < n; ++j) {
    const std::int64_t width = tuples.window.empty() ? n + tuples.q.shape[2] : tuples.window[s];
    const bool causal = tuples.causal == Causal::none || j <= diagonal;
    const bool near = tuples.causal == Causal::none ? std::abs(j - diagonal) < width : j > diagonal - width;
    double bias = 0.0;
    if (!tuples.bias.empty()) {
      const Stored& of = tuples.bias[s];
      bias = *of.row(of.shape[0] == 1 ? 0 : b, of.shape[1] == 1 ? 0 : h, j);
    }
    if (causal && (tuples.window.empty() || near) && bias != -kInfinity) {
      seen.k.push_back(k.row(b, own, j));
      seen.v.push_back(tuples.v[s].row(b, own, j));
      seen.bias.push_back(bias);
    }
  }
  return seen;
}

/// Sums over tuples, relative to exp(top).
struct Sums {
  long double mass = 0.0L;
  std::vector<long double> numerator, magnitude;
};

/// One row: scores of all tuples are visited twice, for the largest and for the sums.
struct RowSum {
  const std::vector<SeenSet>& sets;
  std::size_t columns;
  long double top = -static_cast<long double>(kInfinity);
  long double largest_terms = 0.0L;  ///< sum_l |scale q k k ...| + sum |b|, largest over tuples

  void visit(std::size_t s, const std::vector<long double>& product, long double bias, long double size) {
    if (s == sets.size()) {
      long double score = bias;
      long double terms = size;
      for (const long double p : product) {
        score += p;
        terms += std::fabs(p);
      }
      top = std::max(top, score);
      largest_terms = std::max(largest_terms, terms);
      return;
    }
    for (std::size_t j = 0; j < sets[s].k.size(); ++j) {
      std::vector<long double> next = product;
      for (std::size_t l = 0; l < next.size(); ++l) {
        next[l] *= static_cast<long double>(sets[s].k[j][l]);
      }
      visit(s + 1, next, bias + static_cast<long double>(sets[s].bias[j]),
            size + static_cast<long double>(std::fabs(sets[s].bias[j])));
    }
  }

  Sums sum(std::size_t s, const std::vector<long double>& product, long double bias) {
    Sums sums;
    sums.numerator.assign(columns, 0.0L);
    sums.magnitude.assign(columns, 0.0L);
    if (s == sets.size()) {
      long double score = bias;
      for (const long double p : product) {
        score += p;
      }
      sums.mass = std::exp(score - top);
      sums.numerator.assign(columns, sums.mass);
      sums.magnitude = sums.numerator;
      return sums;
    }
    for (std::size_t j = 0; j < sets[s].k.size(); ++j) {
      std::vector<long double> next = product;
      for (std::size_t l = 0; l < next.size(); ++l) {
        next[l] *= static_cast<long double>(sets[s].k[j][l]);
      }
      const Sums inner = sum(s + 1, next, bias + static_cast<long double>(sets[s].bias[j]));
      sums.mass += inner.mass;
      for (std::size_t c = 0; c < columns; ++c) {
        const auto value = static_cast<long double>(sets[s].v[j][c]);
        sums.numerator[c] += value * inner.numerator[c];
        sums.magnitude[c] += std::fabs(value) * inner.magnitude[c];
      }
    }
    return sums;
  }
};

void add_row(const TupleCall& tuples, std::int64_t b, std::int64_t h, std::int64_t i, CallTruth& truth) {
  std::vector<SeenSet> sets;
  std::size_t terms = 0;
  for (std::size_t s = 0; s < tuples.k.size(); ++s) {
    sets.push_back(seen_by(tuples, s, b, h, i));
    terms += sets.back().k.size();
  }
  const std::size_t columns = usize(tuples.v.front().shape[3]);
  std::vector<long double> query;
  for (std::int64_t l = 0; l < tuples.q.shape[3]; ++l) {
    query.push_back(static_cast<long double>(tuples.scale) * static_cast<long double>(tuples.q.row(b, h, i)[usize(l)]));
  }
  RowSum row{sets, columns};
  row.visit(0, query, 0.0L, 0.0L);
  const Sums sums = row.sum(0, query, 0.0L);
  // Each score is off by so many roundings of its terms; sums and products by a few more.
  const long double unit = 0x1p-63L;
  const long double weight =
      unit * (static_cast<long double>(query.size() + 2 * sets.size() + 3) * (row.largest_terms + 1.0L) +
              static_cast<long double>(terms + 4 * sets.size() + 8));
  truth.row_max.push_back(row.top);
  if (!(sums.mass > 0.0L)) {
    truth.output.insert(truth.output.end(), columns, 0.0L);
    truth.doubt.insert(truth.doubt.end(), columns, 0.0);
    truth.lse.push_back(-static_cast<long double>(kInfinity));
    truth.lse_doubt.push_back(0.0);
    return;
  }
  for (std::size_t c = 0; c < columns; ++c) {
    truth.output.push_back(sums.numerator[c] / sums.mass);
    truth.doubt.push_back(static_cast<double>(3.0L * weight * sums.magnitude[c] / sums.mass));
  }
  truth.lse.push_back(row.top + std::log(sums.mass));
  truth.lse_doubt.push_back(static_cast<double>(2.0L * weight + unit * (std::fabs(row.top) + 64.0L)));
}

/// measured less doubt, over allowed.
double ratio(long double got, long double truth, double doubt, double allowed) {
  const auto error = static_cast<double>(std::fabs(got - truth));
  return clearance(std::isnan(error) ? error : std::max(error - doubt, 0.0), allowed);
}

}  // namespace

std::vector<ConstView> TupleCall::keys() const { return views_of(k); }
std::vector<ConstView> TupleCall::values() const { return views_of(v); }

Options TupleCall::options(Options base) const {
  base.score = Dot{scale};
  base.mask.visibility.causal = causal;
  base.mask.visibility.window = window;
  base.mask.key_bias = views_of(bias);
  return base;
}

Result attend(const TupleCall& tuples, const Options& base) {
  return polyattn::attend(tuples.q.view(), tuples.keys(), tuples.values(), tuples.options(base));
}
Plan plan(const TupleCall& tuples, const Options& base) {
  return polyattn::plan(tuples.q.view(), tuples.keys(), tuples.values(), tuples.options(base));
}

TupleCall random_tuples(const TupleShape& shape, double radius, DType dtype, std::uint64_t seed) {
  Random random(seed);
  TupleCall tuples;
  const auto uniform = [&](const Shape& of) {
    std::vector<double> numbers(usize(of[0] * of[1] * of[2] * of[3]));
    for (double& x : numbers) {
      x = random.uniform(-1.0, 1.0);
    }
    return store(dtype, of, numbers);
  };
  tuples.q = uniform({shape.batch, shape.heads, shape.n_q, shape.dim});
  tuples.scale = radius / static_cast<double>(shape.dim);
  for (std::size_t s = 0; s < shape.n.size(); ++s) {
    const std::int64_t heads = shape.key_heads.empty() ? shape.heads : shape.key_heads[s];
    tuples.k.push_back(uniform({shape.batch, heads, shape.n[s], shape.dim}));
    const std::int64_t rows = shape.batch * heads * shape.n[s];
    std::vector<double> values;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < shape.value_dim; ++c) {
        const double key = tuples.k.back().values[usize(r * shape.dim + c % shape.dim)];
        values.push_back(std::sin(3.0 * key * static_cast<double>(1 + c / shape.dim)) +
                         0.1 * random.uniform(-1.0, 1.0));
      }
    }
    tuples.v.push_back(store(dtype, {shape.batch, heads, shape.n[s], shape.value_dim}, values));
  }
  return tuples;
}

void add_biases(TupleCall& tuples, double low, double high, std::uint64_t seed) {
  Random random(seed);
  tuples.bias.clear();
  for (const Stored& keys : tuples.k) {
    const Shape shape{tuples.q.shape[0], tuples.q.shape[1], keys.shape[2], 1};
    std::vector<double> numbers;
    for (std::int64_t i = 0; i < shape[0] * shape[1] * shape[2]; ++i) {
      numbers.push_back(random.chance(0.15) ? -kInfinity : random.uniform(low, high));
    }
    tuples.bias.push_back(store(DType::float64, shape, numbers));
  }
}

CallTruth truth_of(const TupleCall& tuples) {
  CallTruth truth;
  for (std::int64_t b = 0; b < tuples.q.shape[0]; ++b) {
    for (std::int64_t h = 0; h < tuples.q.shape[1]; ++h) {
      for (std::int64_t i = 0; i < tuples.q.shape[2]; ++i) {
        add_row(tuples, b, h, i, truth);
      }
    }
  }
  return truth;
}

TupleVerdict judge(const CallTruth& truth, const Result& result) {
  TupleVerdict verdict;
  const std::vector<double> output = values_of(result.output);
  const std::vector<double> bounds = values_of(result.row_bounds.value());
  const std::size_t columns = bounds.empty() ? 0 : output.size() / bounds.size();
  double storage = 0.0;
  for (const HeadReport& head : result.report.heads) {
    storage = std::max(storage, head.certificate.storage);
  }
  for (std::size_t e = 0; e < output.size(); ++e) {
    const auto got = static_cast<long double>(output[e]);
    verdict.worst = std::max(verdict.worst, ratio(got, truth.output[e], truth.doubt[e], bounds[e / columns] + storage));
    verdict.largest_error = std::max(verdict.largest_error, static_cast<double>(std::fabs(got - truth.output[e])));
  }
  if (result.lse) {
    const std::vector<double> lse = values_of(*result.lse);
    const std::vector<double> allowed = values_of(*result.lse_bound);
    for (std::size_t r = 0; r < lse.size(); ++r) {
      const bool none = truth.lse[r] == -static_cast<long double>(kInfinity);
      verdict.worst_lse = std::max(verdict.worst_lse, none ? (lse[r] == -kInfinity ? 0.0 : kInfinity)
                                                           : ratio(static_cast<long double>(lse[r]), truth.lse[r],
                                                                   truth.lse_doubt[r], allowed[r]));
    }
  }
  return verdict;
}

testing::AssertionResult within_bounds(const TupleCall& tuples, const Options& base) {
  Options options = base;
  options.want_row_bounds = options.want_lse = true;
  const Result result = attend(tuples, options);
  const TupleVerdict verdict = judge(truth_of(tuples), result);
  if (!(verdict.worst <= 1.0) || !(verdict.worst_lse <= 1.0)) {
    return testing::AssertionFailure() << "error over bound: " << verdict.worst << ", of log-sum-exp "
                                       << verdict.worst_lse << "\n"
                                       << describe(result.report);
  }
  const std::vector<double> bounds = values_of(result.row_bounds.value());
  const std::size_t rows = usize(tuples.q.shape[2]);
  for (std::size_t r = 0; r < bounds.size(); ++r) {
    const HeadReport& head = result.report.heads[r / rows];
    const bool promised = base.tolerance.value > 0.0 && head.tolerance > 0.0;
    if (!(bounds[r] <= head.certificate.bound()) || (promised && !(bounds[r] <= head.tolerance))) {
      return testing::AssertionFailure() << "row " << r << ": bound " << bounds[r] << " beyond its head's\n"
                                         << describe(result.report);
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace polyattn::test
