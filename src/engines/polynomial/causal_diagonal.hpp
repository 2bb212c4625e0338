#pragma once

/// The exact part of causal rows: the keys of a row's own block, in the frame's coordinates, by the tile kernel of the
/// exact engine. Its arithmetic, T, is that of the moments or float32 beside moments in float64.

#include "engines/exact/key_statistics.hpp"
#include "engines/polynomial/frame.hpp"
#include "engines/polynomial/row_block.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// Bounds of the exact part, for blocks whose log weights spread so far, in natural units.
struct DiagonalBound {
  double range = -1.0;             ///< over the block
  double spread = -1.0;            ///< over each key block of the kernel
  double answer_error = 0.0;       ///< |T_x^ - T_x|
  double denominator_error = 0.0;  ///< relative, of D_x^
};

/// What is the same for all blocks of a head: how queries are packed, and what bounds need to know.
template <class T>
struct DiagonalModel {
  std::vector<double> query_factor;  ///< [dim] q - qc times it is the packed query, log2 units
  T value_factor = T(1);             ///< a power of two: packed values are v - mu times it
  double largest = 0.0;              ///< at least |v - mu| of visible keys
  double size = 0.0;                 ///< of scores and of packed queries, log2 units
  double packed_query = 0.0;
  KeyStatistics statistics;  ///< but for the biases
};
/// `block`: keys of a block.
template <class T>
DiagonalModel<T> diagonal_model(const Frame& frame, const ValueRange& values, std::int64_t block);

/// The bound of the worst row: of any radius, its visible keys those of least weight.
template <class T>
DiagonalBound bound_diagonal(const DiagonalModel<T>& model, double range, double spread);
/// The same for rows that see all keys of the block.
template <class T>
DiagonalBound bound_whole_block(const DiagonalModel<T>& model, double range);

/// The keys of one block as the tile kernel reads them.
template <class T>
struct DiagonalKeys {
  DiagonalKeys(std::int64_t dim, std::int64_t value_dim, std::int64_t block, base::MemoryMeter* memory);
  std::int64_t first = 0;
  std::int64_t count = 0;
  bool visible = false;   ///< one of them at least
  double exponent = 0.0;  ///< whole; 2^exponent is at least the largest weight
  DiagonalBound bound;
  base::Buffer<T> keys;
  base::Buffer<T> values;
  base::Buffer<T> bias;
  std::vector<T> offset;  ///< of each key block of the kernel, relative to `exponent`; -infinity: nothing visible
};
/// Keys [first, first + count), as load_moment_block left them in `loaded`, R the arithmetic of the moments. `known` is
/// a bound of an earlier block, taken again where it holds and is not far off.
template <class T, class R>
void pack_diagonal(const Frame& frame, const DiagonalModel<T>& model, const DiagonalBound& known, std::int64_t first,
                   std::int64_t count, const MomentScratch<R>& loaded, DiagonalKeys<T>& out);

/// Buffers of one thread, and the exact sums of a block of rows: those of row r are in units of 2^exponent[r].
template <class T>
struct DiagonalRows {
  DiagonalRows(std::int64_t dim, std::int64_t value_dim, std::int64_t block, base::MemoryMeter* memory);
  base::Buffer<double> exponent;  ///< [block] whole
  base::Buffer<double> sum;       ///< [block] of the weights; 0: the row sees no key of the block
  base::Buffer<T> queries;
  base::Buffer<T> state;
  base::Buffer<T> mask;          ///< [2 kKeyBlock][kTile] the latter half is the mask that was made last:
  std::int64_t mask_first = -1;  ///< keys that lane 0 sees
  std::int64_t mask_keys = 0;
  base::Buffer<T> scratch;
};
/// Exact sums of the rows of a block that load_row_block loaded; those of the values, packed, become the exact part of
/// rows.sums. R is the arithmetic of the moments.
template <class T, class R>
void sum_diagonal(const HeadProblem& problem, const FeatureList& features, const DiagonalModel<T>& model,
                  const DiagonalKeys<T>& keys, RowBlock<R>& rows, DiagonalRows<T>& out) noexcept;

}  // namespace polyattn::engines
