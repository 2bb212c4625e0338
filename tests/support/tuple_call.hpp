#pragma once

/// Attention of order k for tests: inputs as they are stored, their answer by the definition in long double, and what
/// an answer's certificate is worth against it.

#include "polyattn/attention.hpp"
#include "support/problem.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace polyattn::test {

struct TupleCall {
  Stored q;
  std::vector<Stored> k;
  std::vector<Stored> v;
  std::vector<Stored> bias;  ///< one of each set, or none
  double scale = 1.0;
  Causal causal = Causal::none;
  std::vector<std::int64_t> window;

  [[nodiscard]] std::size_t order() const noexcept { return k.size() + 1; }
  [[nodiscard]] std::vector<ConstView> keys() const;
  [[nodiscard]] std::vector<ConstView> values() const;
  /// `base` with this case's score and masks. Holds views of this case.
  [[nodiscard]] Options options(Options base = {}) const;
};

Result attend(const TupleCall& tuples, const Options& base = {});
Plan plan(const TupleCall& tuples, const Options& base = {});

struct TupleShape {
  std::vector<std::int64_t> n;  ///< keys of each set
  std::int64_t n_q = 4;
  std::int64_t dim = 3;
  std::int64_t value_dim = 2;
  std::int64_t batch = 1;
  std::int64_t heads = 1;
  std::vector<std::int64_t> key_heads{};  ///< of each set; none: as many as heads
};

/// Uniform queries and keys in [-1, 1], the scale such that |score| <= radius, values sin(3 k) + noise, which depend on
/// the keys.
TupleCall random_tuples(const TupleShape& shape, double radius, DType dtype, std::uint64_t seed);
/// Uniform in [low, high], of every key and query head, with a few keys hidden.
void add_biases(TupleCall& tuples, double low, double high, std::uint64_t seed);

/// The answer by the definition, batch-major. Sums are nested, set by set.
struct CallTruth {
  std::vector<long double> output;  ///< [batch, heads, n_q, d_v]
  std::vector<double> doubt;        ///< bound on what long double may have rounded away there
  std::vector<long double> lse;     ///< [batch, heads, n_q]
  std::vector<double> lse_doubt;
  std::vector<long double> row_max;
};
CallTruth truth_of(const TupleCall& tuples);

/// Largest of measured error, less the doubt of the truth, over bound; of outputs and of log-sum-exps.
struct TupleVerdict {
  double worst = 0.0;
  double worst_lse = 0.0;
  double largest_error = 0.0;
};
/// Needs row bounds; judges log-sum-exps if they are there.
TupleVerdict judge(const CallTruth& truth, const Result& result);

/// Attends with row bounds and log-sum-exp asked for, and says where a bound is broken, a tolerance missed, or a report
/// claims less than its rows.
testing::AssertionResult within_bounds(const TupleCall& tuples, const Options& base = {});

}  // namespace polyattn::test
