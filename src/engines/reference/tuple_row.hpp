#pragma once

/// One row of the reference engine of order k: its tuples one after the other, what the bound needs to know about them,
/// and the bound.

#include "base/checked.hpp"
#include "base/memory.hpp"
#include "engines/tuple_problem.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::engines::reference {

/// A key set in float64; keys whose bias is -inf are not read.
struct TupleSet {
  base::Buffer<double> keys;    ///< [n_s, d]
  base::Buffer<double> values;  ///< [n_s, d_v]
  std::vector<double> bias;     ///< [n_s]
};

/// What the bound needs to know about the keys of a set that a row sees.
struct SetMeasures {
  double max_bias = 0.0;
  double max_abs_bias = 0.0;
  double max_key = 0.0;         ///< largest |k_jl|
  double max_value = 0.0;       ///< largest |v_jc|
  double smallest_value = 0.0;  ///< smallest non-zero |v_jc|
};

struct TupleRow {
  explicit TupleRow(const TupleProblem& problem);

  /// Which keys of a set the row sees, and their measures.
  void look(std::size_t s, const TupleSet& set, const KeyRange& range);
  /// visit(score with biases, sum of the absolute values of its terms without) for every tuple; with values their
  /// product is value_products.back() then.
  template <class Visit>
  void walk(const std::vector<TupleSet>& sets, double scale, bool with_values, const Visit& visit) {
    walk_from(0, 0.0, sets, scale, with_values, visit);
  }

  std::vector<std::vector<std::int64_t>> visible;   ///< [k - 1] keys the row sees
  std::vector<SetMeasures> measures;                ///< [k - 1]
  std::vector<std::vector<double>> products;        ///< [k][d] q, q o k^1, q o k^1 o k^2, ...
  std::vector<std::vector<double>> value_products;  ///< [k][d_v] 1, v^1, v^1 o v^2, ...
  std::vector<double> output, low, high;            ///< [d_v] answer and hull of the products of values
  double tuples = 0.0;                              ///< their number
  double size = 0.0;                                ///< largest sum of absolute terms of a score
  double max_score = 0.0;
  double min_score = 0.0;
  double log_sum = 0.0;  ///< log of sum exp(s - max)

 private:
  template <class Visit>
  void walk_from(std::size_t level, double bias, const std::vector<TupleSet>& sets, double scale, bool with_values,
                 const Visit& visit) {
    const auto d = static_cast<std::int64_t>(products.front().size());
    const auto d_v = static_cast<std::int64_t>(value_products.front().size());
    for (const std::int64_t j : visible[level]) {
      const double* key = sets[level].keys.data() + j * d;
      const double* value = sets[level].values.data() + j * d_v;
      double sum = 0.0;
      double terms = 0.0;
      for (std::size_t l = 0; l < products.front().size(); ++l) {
        const double product = products[level][l] * key[l];
        products[level + 1][l] = product;
        sum += product;
        terms += std::fabs(product);
      }
      for (std::size_t c = 0; with_values && c < value_products.front().size(); ++c) {
        value_products[level + 1][c] = value_products[level][c] * value[c];
      }
      const double biases = bias + sets[level].bias[base::usize(j)];
      if (level + 1 < visible.size()) {
        walk_from(level + 1, biases, sets, scale, with_values, visit);
      } else {
        visit(scale * sum + biases, std::fabs(scale) * terms);
      }
    }
  }
};

struct TupleRowBound {
  double rounding = 0.0;  ///< of the output; of one in float32 with its last rounding
  double storage = 0.0;   ///< rounding to 16 bits
  double relative = 0.0;
  double lse = 0.0;
};
/// The bound of a row that sees a tuple: docs/proofs/tuples-exact.md, section 7.
TupleRowBound certify_row(const TupleRow& row, double scale, DType output);

}  // namespace polyattn::engines::reference
