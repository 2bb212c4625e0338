#pragma once

/// Approximate Hamming nearest neighbours by attention: binary search over the threshold of Gap-ANN, a threshold of its
/// own for every row, then halving of the keys. Statement, proof and cost: docs/proofs/lab-nearest.md, sections 5 to 7.
///
/// For every row of `a` the index of a row of `b` whose distance is at most `ratio` times that of the nearest. Every
/// decision is read from an average that the oracle returned, or looked up in a table where that is cheap.

#include "lab/bits.hpp"
#include "lab/hamming_gap_attention.hpp"
#include "lab/order2_oracle.hpp"
#include "polyattn/options.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::lab {

/// The two cases of Lemma 4.7.
enum class GapBranch : std::uint8_t {
  automatic,  ///< the table for small thresholds, attention for the others
  table,      ///< whatever it costs, up to 2^28 probes a row
  attention,  ///< for every threshold
};

struct NearestOptions {
  double ratio = 1.5;  ///< at least 1: then the nearest itself is found
  GapShape shape = GapShape::pad;
  GapBranch branch = GapBranch::automatic;
  Order2Oracle oracle;  ///< needed unless the branch is `table`
  /// Called between decisions; false cancels (Error, code cancelled).
  Progress progress;
};

/// What it took.
struct NearestCost {
  std::int64_t calls = 0;           ///< of attention
  std::int64_t decisions = 0;       ///< rows answered by them
  std::int64_t scores = 0;          ///< pairs of a row and a key or pad in all calls
  std::int64_t looked_up = 0;       ///< rows answered by the table
  double largest_entry = 0.0;       ///< B over all calls
  double smallest_threshold = 1.0;  ///< that an average was compared with
};

struct Nearest {
  std::vector<std::int64_t> index;  ///< [rows of a], into the rows of b
  NearestCost cost;
};

/// Throws Error (invalid_argument) if the dimensions differ, b has no rows while a has some, the ratio is below 1 or
/// there is no oracle, (not_reachable) where a decision is beyond the oracle or float64, (unsupported) where the table
/// would be too large, (cancelled), and whatever the oracle throws.
Nearest nearest_by_attention(const BitVectors& a, const BitVectors& b, const NearestOptions& options);

/// One decision for every row of `a`: 1 if some row of `b` lies within `near`, 0 if all are farther than ratio * near,
/// either in between. Errors and branches as above.
std::vector<std::uint8_t> gap_ann(const BitVectors& a, const BitVectors& b, std::int64_t near,
                                  const NearestOptions& options, NearestCost* cost = nullptr);

}  // namespace polyattn::lab
