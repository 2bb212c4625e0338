#pragma once

/// Rounding error bounds of exact attention of order k, per row and before looking at any row. Proofs in
/// docs/proofs/tuples-exact.md, whose sections the code names.

#include "engines/exact/certificate.hpp"
#include "engines/tuples/exact_sets.hpp"
#include "polyattn/dtype.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// Rows of a query whose sums are joined one after the other; more are joined in pieces of so many.
inline constexpr std::int64_t kJoinedRows = 384;

/// What the bound of one query depends on. Scores in log2 units.
struct TupleMeasures {
  double size = 0.0;            ///< at least sum_l |x_l k_l| for every row x and inner key k: score without biases
  double row_norm = 0.0;        ///< at least |x| for every row x as formed
  double low = 0.0;             ///< smallest and
  double high = 0.0;            ///< largest of the rows' largest scores, inner bias less its shift included
  double tuples = 0.0;          ///< visible by position
  std::int64_t keys = 0;        ///< length of the interval of inner keys
  bool from_start = true;       ///< it starts at the first
  double rows = 0.0;            ///< outer tuples
  double outer_top = 0.0;       ///< sum over the outer sets of |largest bias the query sees|
  double magnitude = 0.0;       ///< at least |log2 of the largest weight|, shift included
  double largest_output = 0.0;  ///< max_c |T~_c|
};

/// Everything of the bounds that all rows of a head share.
template <class T>
class TupleCertifier {
 public:
  TupleCertifier(const TupleProblem& problem, const SetOrder& order, const std::vector<SetFacts>& sets, DType output);

  /// At least sum_l |scale q_l k^1_l ... k^m_l| log2 e for all keys, from the query alone; NaN or infinite if it is.
  [[nodiscard]] double size_of(const double* query) const noexcept;
  /// The same from the norm of the longest row.
  [[nodiscard]] double size_of_rows(double row_norm) const noexcept { return row_norm * inner_norm_; }
  /// The bound of a row that sees a tuple; infinite if scores might overflow T.
  [[nodiscard]] ExactBound certify(const TupleMeasures& row, bool with_relative = true) const noexcept;
  /// True if a score of this row might leave the range of T.
  [[nodiscard]] bool may_overflow(const TupleMeasures& row) const noexcept;
  /// storage_bound of the output.
  [[nodiscard]] double storage(double largest) const noexcept { return storage_bound(output_, largest); }
  /// The row whose every measure is the worst there could be among queries of these norms and coordinates.
  [[nodiscard]] TupleMeasures worst(double query_norm, const std::vector<double>& query_max) const;

 private:
  struct Column {
    double range;      // of the products of the sets' values
    double magnitude;  // largest of them
  };
  struct Weights {
    double score;   // bound on |computed score - score|, log2 units; infinite if nothing is proved
    double zeta;    // bound on |log(computed weight / weight)| up to a common factor
    double far;     // bound on the share of tuples too light to be covered by zeta
    double biases;  // bound on the sum of the |biases| of the outer keys of a tuple that is not, log2 units
  };
  void take_set(const SetFacts& facts, bool outer, double grown, double added);
  void take_columns(const std::vector<SetFacts>& sets);
  [[nodiscard]] Weights weights(const TupleMeasures& row) const noexcept;
  [[nodiscard]] double span_of(const TupleMeasures& row) const noexcept;
  [[nodiscard]] double sums(const TupleMeasures& row) const noexcept;

  double dim_;
  double outer_;  // number of outer sets
  DType output_;
  bool finite_ = true;
  bool values_exact_;  // T holds the inner values
  double factor_;      // |scale| log2 e
  bool factor_normal_;
  double chain_;                // roundings of a score, relative to its size
  std::vector<double> corner_;  // [d] prod_s max_j |k^s_jl|
  double holder_ = 1.0;         // prod_s of the sets' norms
  double inner_norm_;           // largest |k| of the inner set
  double inner_key_ = 0.0;      // largest |k_l| of it
  double outer_norm_ = 1.0;     // prod over the outer sets of their largest coordinates
  double outer_keys_ = 1.0;     // prod over the outer sets of max(1, largest |k_l|)
  double spread_;               // inner: largest |bias - offset|, log2 units
  double inner_range_;          // inner: bias range, log2 units
  double bias_range_ = 0.0;     // summed over all sets, log2 units
  double max_bias_;             // inner: largest |bias|, log2 units
  double top_bias_;             // inner: |largest bias|, log2 units
  double outer_bias_ = 0.0;     // summed over the outer sets: largest |bias|, log2 units
  double shift_;                // inner
  double value_scale_ = 1.0;    // at least PackedKeys::value_scale
  double outer_values_ = 1.0;   // prod over the outer sets of their largest |v|
  double all_values_ = 1.0;     // prod over all sets of max(1, largest |v|)
  double inner_smallest_;       // smallest non-zero |v| of the inner set
  double all_smallest_ = 1.0;   // prod over all sets of min(1, smallest non-zero |v|)
  double all_tuples_ = 1.0;
  double all_rows_ = 1.0;
  std::int64_t inner_keys_;
  bool intervals_;               // rows see inner keys from somewhere other than the first on
  std::vector<Column> columns_;  // those no other column exceeds in both
};

}  // namespace polyattn::engines
