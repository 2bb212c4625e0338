#pragma once

/// What one thread does in exact attention of order k: it fills tiles with the rows of some queries, lets them meet the
/// inner keys, and joins what they found.

#include "base/memory.hpp"
#include "base/parallel.hpp"
#include "engines/exact/packed_keys.hpp"
#include "engines/exact/tile.hpp"
#include "engines/tuples/exact_join.hpp"
#include "engines/tuples/exact_rows.hpp"
#include "engines/tuples/exact_sets.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace polyattn::engines {

/// Tiles that share a key block while it is in cache.
inline constexpr std::int64_t kTupleTiles = 4;

/// Rows [first, last) of a query, counted from the first tuple of outer keys it sees: one state, and at most
/// kJoinedRows.
struct Segment {
  std::int64_t query = 0;  ///< of the problem
  std::int64_t first = 0;
  std::int64_t last = 0;
  KeyRange inner;         ///< inner keys it sees
  const KeyRange* outer;  ///< of each outer set, among those not hidden
};

/// What all threads share.
template <class T>
struct TupleShared {
  const TupleProblem& problem;
  const PackedKeys<T>& inner;
  std::span<const OuterSet> outer;
  const TileScoring<T>& scoring;
  bool masks;  ///< queries differ in which inner keys they see
};

template <class T>
class TupleWorker {
 public:
  TupleWorker(const TupleShared<T>& shared, std::int64_t tiles, base::MemoryMeter* memory);

  /// Sums of every segment into its state, which is that of no row before.
  void answer(std::span<const Segment> segments, std::span<JoinState> states, const base::Context& context);

  static std::int64_t bytes(std::int64_t dim, std::int64_t value_dim, std::int64_t tiles, bool masks,
                            std::int64_t element);

 private:
  /// A run in a tile.
  struct Piece {
    std::int64_t tile = 0;
    std::int64_t lane = 0;
    std::int64_t segment = 0;
    OuterRun run;
    std::int64_t values = 0;  // where the prefix's values were copied to
  };
  void place(const Segment& segment, std::int64_t index, std::int64_t most, JoinState& state);
  void meet(std::span<const Segment> segments, std::span<JoinState> states, const base::Context& context);
  void join(const Piece& piece, JoinState& state);

  const TupleShared<T>& shared_;
  std::vector<Tile<T>> tiles_;
  TileWork<T> work_;
  OuterRows rows_;
  std::vector<Piece> pieces_;
  base::Buffer<double> prefix_values_;  // [lanes of all tiles][d_v], where there are several outer sets
  std::int64_t tile_ = 0;               // that is being filled
  std::int64_t lane_ = 0;               // and its first free lane
};

}  // namespace polyattn::engines
