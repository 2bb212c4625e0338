#pragma once

/// Rounding error bounds of the exact engine, per row and before looking at any row. Proofs, section by section, in
/// docs/proofs/exact-engine.md.

#include "engines/exact/packed_keys.hpp"
#include "engines/problem.hpp"
#include "polyattn/dtype.hpp"

#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::engines {

/// Properties of a set of queries that bound all of them; a single query is such a set.
struct QueryStatistics {
  double max_norm = 0.0;          ///< at least max_i |q_i|
  std::vector<double> query_min;  ///< [d]
  std::vector<double> query_max;  ///< [d]
  bool queries_exact = true;      ///< the arithmetic type holds every query exactly
};

struct ExactBound {
  double rounding = 0.0;  ///< |T~ - T|, rounding to a float32 output included
  double relative = std::numeric_limits<double>::infinity();
  double lse = 0.0;
};

/// What else happens to the scores of a head.
struct ScoreFacts {
  double soft_cap = 0.0;   ///< 0: none
  bool intervals = false;  ///< rows see keys from somewhere other than the first on; averages are then not clipped
  bool pairs = false;      ///< numbers of unknown size are added pair by pair (not by boolean masks)
};

/// A bound that holds for every row of a head whose queries fit `queries`, known before running: would the exact engine
/// in T meet a tolerance? Infinite where scores might overflow T. Causal and boolean masks are covered. With `pairs` it
/// holds for rows whose largest score is no further from 0 than it could be without them. Statistics are of numbers as
/// stored.
template <class T>
ExactBound exact_bound(const HeadScore& score, const KeyStatistics& keys, const QueryStatistics& queries, DType output,
                       const ScoreFacts& facts = {});

/// Roundings behind a sum over the keys of one row in tiles: relative to the sum of the absolute values it is off by at
/// most gamma_(in_t) in T and gamma_(flushes) in float64. `keys` is the length of its interval of keys, `from_start`
/// whether it starts at the first: one that does not may touch a block, and a superblock, more.
struct TileSums {
  double in_t = 0.0;
  double flushes = 0.0;
};
TileSums tile_sums(std::int64_t keys, bool from_start) noexcept;

/// Bound on the error of storing numbers up to `largest` as a 16-bit `output`, infinite if one might not fit; 0 for
/// wider types.
double storage_bound(DType output, double largest) noexcept;

/// What the bound of one row depends on. Scores in log2 units (natural scores times log2 e).
struct RowMeasures {
  /// dot: at least max_j |s_ij| without bias. gaussian: at least max_j |s_ij|, infinite if unknown.
  double size = 0.0;
  /// dot: at least the largest coordinate of the query as packed. gaussian: not used.
  double packed_query = 0.0;
  /// gaussian with coordinates rounded to T: sum_l (a_l u (|q_l| + max_j |k_jl|))^2, a_l^2 = log2(e) / 2 H_l^2.
  double conversion = 0.0;
  double row_max = 0.0;         ///< at most the largest score, bias included, less the shift; as computed
  double mask_size = 0.0;       ///< largest finite magnitude a mask over pairs adds, NaN if it adds NaN or +inf
  std::int64_t keys = 0;        ///< length of the interval of keys the row may see
  bool from_start = true;       ///< it starts at the first key
  bool clipped = true;          ///< averages were clipped into the hull of the packed values
  double largest_output = 0.0;  ///< max_c |T~_c|
};

/// Everything of the bounds that all rows of a head share.
template <class T>
class RowCertifier {
 public:
  /// `shift` as packed (PackedKeys::shift, log2 units).
  RowCertifier(const HeadScore& score, std::int64_t dim, const KeyStatistics& keys, double shift, bool queries_exact,
               DType output, double soft_cap = 0.0);
  /// The bound of a row that sees a key. `rounding` is infinite if scores might overflow T. The relative bound costs a
  /// few library calls more.
  [[nodiscard]] ExactBound certify(const RowMeasures& row, bool with_relative = true) const noexcept;
  /// True if a score of this row might leave the range of T.
  [[nodiscard]] bool may_overflow(const RowMeasures& row) const noexcept;
  /// storage_bound of the output.
  [[nodiscard]] double storage(double largest) const noexcept { return storage_bound(output_, largest); }

 private:
  struct Column {
    double range;      // max - min
    double magnitude;  // max |v|
  };
  struct Weights {
    double score;  // bound on |computed score - score|, log2 units; infinite if nothing is proved
    double zeta;   // bound on |log(computed weight / weight)| up to a common factor
    double far;    // bound on the share of keys too light to be covered by zeta
  };
  [[nodiscard]] Weights weights(const RowMeasures& row) const noexcept;
  [[nodiscard]] double span_of(const RowMeasures& row) const noexcept;
  [[nodiscard]] double sums(const RowMeasures& row) const noexcept;

  ScoreKind kind_;
  double dim_;
  DType output_;
  bool finite_;
  bool values_exact_;
  double chain_;      // roundings of a score, relative to its size
  double max_key_;    // max |k_jl|
  double isotropic_;  // factor of sum_l t_l^2 if it is formed first, else 1
  bool factors_normal_;
  double cap_;         // c log2(e) of soft-capping; infinite: none
  double spread_;      // largest |bias - offset|, log2 units
  double bias_range_;  // log2 units
  double max_bias_;    // largest |bias|, log2 units
  double top_bias_;    // |largest bias|, log2 units
  double shift_;
  double smallest_value_;
  std::vector<Column> columns_;  // those no other column exceeds in both
};

}  // namespace polyattn::engines
