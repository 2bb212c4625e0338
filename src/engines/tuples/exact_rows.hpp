#pragma once

/// The rows of a query against the innermost set, q o k^1_{j_1} o ..., one for each tuple of outer keys it sees, in
/// runs that differ in the last outer set alone.

#include "engines/tuples/exact_sets.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace polyattn::engines {

/// Rows that follow one another and share all outer keys but the last.
struct OuterRun {
  std::int64_t lanes = 0;
  const double* prefix = nullptr;  ///< [d] scale log2(e) q o k^1 o ... without the last set
  const double* keys = nullptr;    ///< [d][64] of the last set, from the first row on; null: there is no outer set
  std::int64_t at = 0;             ///< its first key in the last set
  double power = 0.0;              ///< log2 of the weight of the other outer keys, whole part
  double factor = 1.0;             ///< 2 to the rest
  double bias = 0.0;               ///< the same, in one number
  const double* values = nullptr;  ///< [d_v] product of their values; null: 1
};

class OuterRows {
 public:
  /// `sets` are the outer sets, in order; `factor` multiplies the queries.
  OuterRows(const TupleProblem& problem, std::span<const OuterSet> sets, double factor);

  /// Rows of this query from `first` on; `ranges` says which keys of each outer set it sees.
  void open(std::int64_t query, std::span<const KeyRange> ranges, std::int64_t first);
  /// The next rows, at most `most` of them; what it points to is valid until the next call.
  OuterRun next(std::int64_t most);

  /// How many rows a query has that sees these keys.
  static std::int64_t count(std::span<const KeyRange> ranges);

 private:
  void load_prefix();

  const TupleProblem& problem_;
  std::span<const OuterSet> sets_;
  double factor_;
  std::vector<double> query_;           // [d]
  std::vector<double> prefix_;          // [d]
  std::vector<double> values_;          // [d_v]
  std::vector<KeyRange> ranges_;        // of each outer set
  std::vector<std::int64_t> position_;  // the keys of the next row
  bool moved_ = true;                   // the prefix is not that of the next row
  OuterRun run_;
};

/// Packs a run as queries of a tile: x = prefix o keys in float64, rounded to T, into queries[l * 48 + lane].
/// squares[lane] becomes |x|^2.
template <class T>
void pack_run(const OuterRun& run, std::int64_t dim, T* queries, double* squares) noexcept;

}  // namespace polyattn::engines
