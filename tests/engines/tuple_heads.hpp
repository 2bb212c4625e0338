#pragma once

/// Heads of order k for engine tests, and their truth by brute force over all tuples.

#include "engines/heads.hpp"
#include "engines/reference/tuples.hpp"
#include "engines/tuples/exact.hpp"
#include "support/quad.hpp"

#include <list>

namespace polyattn::engines::test {

struct TupleSetData {
  std::int64_t n = 1;
  std::vector<double> k, v;
  std::vector<double> bias;  // empty: none
  PositionMask mask;
};

struct TupleHead {
  std::int64_t n_q = 1, d = 1, d_v = 1;
  std::vector<double> q;
  std::vector<TupleSetData> sets;
  double scale = 1.0;
  DType storage = DType::float64;
  DType output = DType::float64;
  bool gaps = false;
  NonFinite non_finite = NonFinite::error;
};

/// A head ready to run. Keeps the storage alive.
struct PreparedTuples {
  Stored q;
  std::list<Stored> stored;
  std::vector<std::vector<double>> keys, values;  // as stored
  TupleProblem problem;

  explicit PreparedTuples(const TupleHead& head) : q(head.q, head.n_q, head.d, head.storage, head.gaps) {
    problem.queries = q.view();
    problem.scale = head.scale;
    problem.non_finite = head.non_finite;
    for (const TupleSetData& set : head.sets) {
      KeySet keys_of;
      const Stored& k = stored.emplace_back(set.k, set.n, head.d, head.storage, head.gaps);
      const Stored& v = stored.emplace_back(set.v, set.n, head.d_v, head.storage, head.gaps);
      keys_of.keys = k.view();
      keys_of.values = v.view();
      keys.push_back(k.numbers());
      values.push_back(v.numbers());
      if (!set.bias.empty()) {
        keys_of.bias.rows = stored.emplace_back(set.bias, set.n, 1, DType::float64, head.gaps).view();
      }
      keys_of.mask = set.mask;
      problem.sets.push_back(keys_of);
    }
  }
};

inline Answer reference_tuples_of(const TupleHead& head, int threads = 1) {
  const PreparedTuples prepared(head);
  return collect(head.n_q, head.d_v, head.output, [&](const HeadOutputs& out) {
    reference_tuples(prepared.problem, RowList{}, out, base::Context{threads, nullptr, nullptr});
  });
}

template <class T>
Answer exact_tuples_of(const TupleHead& head, int threads = 1, const RowList& list = RowList{}, std::int64_t rows = -1,
                       base::MemoryMeter* memory = nullptr) {
  const PreparedTuples prepared(head);
  return collect(rows < 0 ? head.n_q : rows, head.d_v, head.output, [&](const HeadOutputs& out) {
    exact_tuples<T>(prepared.problem, list, out, base::Context{threads, memory, nullptr});
  });
}

/// The bound of exact in T.
template <class T>
ExactBound bound_of(const TupleBounds& bounds) {
  return sizeof(T) == sizeof(float) ? bounds.single : bounds.wide;
}

inline long double to_wide(long double x) { return x; }
inline long double to_wide(polyattn::test::Quad x) { return static_cast<long double>(x); }

/// The truth for one row from the numbers as stored, over all tuples, in Real.
template <class Real = long double>
Truth tuple_truth(const TupleHead& head, const PreparedTuples& prepared, std::int64_t row) {
  const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  const std::vector<double> q = prepared.q.numbers();
  const std::size_t sets = head.sets.size();
  std::vector<std::vector<std::int64_t>> seen(sets);
  Truth t;
  t.output.assign(at(head.d_v), 0.0L);
  t.weighted_size.assign(at(head.d_v), 0.0L);
  t.empty = false;
  for (std::size_t s = 0; s < sets; ++s) {
    const TupleSetData& set = head.sets[s];
    const KeyRange range = set.mask.range(row, set.n);
    for (std::int64_t j = range.first; j < range.last; ++j) {
      if (set.bias.empty() || set.bias[at(j)] != -kInfinity) {
        seen[s].push_back(j);
      }
    }
    t.empty = t.empty || seen[s].empty();
  }
  if (t.empty) {
    return t;
  }
  std::vector<Real> scores;
  std::vector<std::size_t> position(sets, 0);
  const auto advance = [&] {  // false after the last tuple
    for (std::size_t s = sets; s-- > 0;) {
      if (++position[s] < seen[s].size()) {
        return true;
      }
      position[s] = 0;
    }
    return false;
  };
  const auto key = [&](std::size_t s) { return seen[s][position[s]]; };
  do {
    Real score = 0;
    for (std::int64_t l = 0; l < head.d; ++l) {
      Real term = static_cast<Real>(q[at(row * head.d + l)]) * static_cast<Real>(head.scale);
      for (std::size_t s = 0; s < sets; ++s) {
        term *= static_cast<Real>(prepared.keys[s][at(key(s) * head.d + l)]);
      }
      score += term;
    }
    for (std::size_t s = 0; s < sets; ++s) {
      score += head.sets[s].bias.empty() ? Real(0) : static_cast<Real>(head.sets[s].bias[at(key(s))]);
    }
    scores.push_back(score);
  } while (advance());
  const Real largest = *std::max_element(scores.begin(), scores.end());
  Real denominator = 0;
  std::vector<Real> sums(at(head.d_v), Real(0)), sizes(at(head.d_v), Real(0));
  std::size_t tuple = 0;
  do {
    const Real weight = polyattn::test::exp_of(scores[tuple++] - largest);
    denominator += weight;
    for (std::int64_t c = 0; c < head.d_v && weight > 0; ++c) {
      Real value = weight;
      for (std::size_t s = 0; s < sets; ++s) {
        value *= static_cast<Real>(prepared.values[s][at(key(s) * head.d_v + c)]);
      }
      sums[at(c)] += value;
      sizes[at(c)] += value < 0 ? -value : value;
    }
  } while (advance());
  for (std::size_t c = 0; c < sums.size(); ++c) {
    t.output[c] = static_cast<long double>(sums[c] / denominator);
    t.weighted_size[c] = static_cast<long double>(sizes[c] / denominator);
  }
  t.lse = static_cast<long double>(largest + polyattn::test::log_of(denominator));
  t.row_max = static_cast<long double>(largest);
  return t;
}

/// One row against its truth; fails where a bound is broken.
inline void judge_row(const Answer& answer, std::int64_t i, const Truth& t, Clearance& clearance,
                      const std::string& what) {
  const auto row = static_cast<std::size_t>(i);
  const auto columns = static_cast<std::size_t>(answer.columns);
  ASSERT_EQ(answer.approximation[row], 0.0) << what;
  if (t.empty) {
    ASSERT_EQ(answer.lse[row], -kInfinity) << what << " row " << i;
    ASSERT_EQ(answer.row_max[row], -kInfinity) << what;
    ASSERT_EQ(answer.rounding[row], 0.0) << what;
    ASSERT_EQ(answer.lse_bound[row], 0.0) << what;
    for (std::size_t c = 0; c < columns; ++c) {
      ASSERT_EQ(answer.output[row * columns + c], 0.0) << what;
    }
    return;
  }
  ++clearance.rows;
  clearance.known += std::isfinite(answer.rounding[row]) ? 1 : 0;
  const double bound = answer.rounding[row] + answer.storage[row];
  for (std::size_t c = 0; c < columns; ++c) {
    const long double error = std::fabs(static_cast<long double>(answer.output[row * columns + c]) - t.output[c]);
    const double r = ratio(error, bound);
    ASSERT_LE(r, 1.0) << what << " row " << i << " column " << c << ": error " << static_cast<double>(error)
                      << ", bound " << bound;
    clearance.output = std::max(clearance.output, r);
    if (answer.relative[row] < kInfinity && answer.storage[row] == 0.0) {
      const double s = ratio(error, answer.relative[row] * static_cast<double>(t.weighted_size[c]));
      ASSERT_LE(s, 1.0) << what << " row " << i << " column " << c << " (relative)";
      clearance.relative = std::max(clearance.relative, s);
    }
  }
  const double l = ratio(std::fabs(static_cast<long double>(answer.lse[row]) - t.lse), answer.lse_bound[row]);
  ASSERT_LE(l, 1.0) << what << " row " << i << ": log-sum-exp " << answer.lse[row] << " for "
                    << static_cast<double>(t.lse) << ", bound " << answer.lse_bound[row];
  clearance.lse = std::max(clearance.lse, l);
  if (answer.lse_bound[row] < kInfinity) {
    // The largest score is perturbed by no more than the whole sum, up to its own rounding.
    ASSERT_LE(std::fabs(static_cast<long double>(answer.row_max[row]) - t.row_max),
              static_cast<long double>(answer.lse_bound[row]))
        << what << " row " << i;
  }
}

template <class Real = long double>
void judge_tuples(const TupleHead& head, const Answer& answer, Clearance& clearance, const std::string& what,
                  std::int64_t stride = 1) {
  const PreparedTuples prepared(head);
  for (std::int64_t i = 0; i < head.n_q; i += stride) {
    judge_row(answer, i, tuple_truth<Real>(head, prepared, i), clearance, what);
    if (testing::Test::HasFatalFailure()) {
      return;
    }
  }
}

/// Standard normal queries, keys and values; sizes of the sets as given, scores about `spread` wide.
inline TupleHead random_tuples(std::uint64_t seed, std::int64_t n_q, const std::vector<std::int64_t>& sizes,
                               std::int64_t d, std::int64_t d_v, double spread = 1.0) {
  std::mt19937_64 random(seed);
  TupleHead head;
  head.n_q = n_q;
  head.d = d;
  head.d_v = d_v;
  head.q = normal(random, n_q * d);
  for (const std::int64_t n : sizes) {
    TupleSetData set;
    set.n = n;
    set.k = normal(random, n * d);
    set.v = normal(random, n * d_v);
    head.sets.push_back(set);
  }
  head.scale = spread / std::sqrt(static_cast<double>(d));
  return head;
}

/// A head of order 3 whose scores are q.k1 + q.k2 in twice as many coordinates: softmax is that of two independent
/// keys, and the answer the product of two of order 2.
struct SumOfScores {
  TupleHead head;
  Head first, second;
};

inline SumOfScores sum_of_scores(std::int64_t n_q, std::int64_t n_1, std::int64_t n_2, std::int64_t d, double spread) {
  SumOfScores sum;
  sum.first = random_head(7, n_q, n_1, d, 3, spread);
  sum.second = random_head(8, n_q, n_2, d, 3, spread);
  sum.second.q = sum.first.q;
  const auto widen = [d](const std::vector<double>& from, std::int64_t rows, bool left, bool right) {
    std::vector<double> out(static_cast<std::size_t>(rows * 2 * d), 1.0);
    for (std::int64_t r = 0; r < rows; ++r) {
      if (left) {
        std::copy_n(from.begin() + r * d, d, out.begin() + r * 2 * d);
      }
      if (right) {
        std::copy_n(from.begin() + r * d, d, out.begin() + r * 2 * d + d);
      }
    }
    return out;
  };
  sum.head = random_tuples(9, n_q, {n_1, n_2}, 2 * d, 3);
  sum.head.scale = sum.first.score.scale;
  sum.head.q = widen(sum.first.q, n_q, true, true);
  sum.head.sets[0].k = widen(sum.first.k, n_1, true, false);
  sum.head.sets[1].k = widen(sum.second.k, n_2, false, true);
  sum.head.sets[0].v = sum.first.v;
  sum.head.sets[1].v = sum.second.v;
  return sum;
}

/// Every output is the product, within its bound and those of the reference; bounds themselves are below `most`.
inline void expect_product(const SumOfScores& sum, const Answer& answer, double most) {
  const Answer one = reference(sum.first);
  const Answer two = reference(sum.second);
  const auto columns = static_cast<std::size_t>(sum.head.d_v);
  ASSERT_EQ(answer.output.size(), one.output.size());
  for (std::size_t i = 0; i < answer.output.size(); ++i) {
    const std::size_t row = i / columns;
    const double product = one.output[i] * two.output[i];
    const double bound = one.rounding[row] * (std::fabs(two.output[i]) + two.rounding[row]) +
                         two.rounding[row] * std::fabs(one.output[i]) + 0x1p-53 * std::fabs(product);
    EXPECT_LE(std::fabs(answer.output[i] - product), answer.rounding[row] + bound);
    EXPECT_LT(answer.rounding[row], most);
  }
}

}  // namespace polyattn::engines::test
