#pragma once

/// The kernels of the exact engine: softmax-weighted sums of a tile of queries over a block of keys, with a running
/// maximum. Written once in exact_kernels.inl over the lane type; lanes are queries.
///
/// Scores are kept in the log2 domain, so that every rescaling is by a power of two and exact. One key block is
///
///     s[j][i]  = score(k_j, q_i) + bias_j                  T, chains of kChain fused multiply-adds over the dim
///     m'[i]    = max(m[i], ceil(max_j s[j][i]) + offset)   whole numbers
///     p[j][i]  = 2^(s[j][i] + offset - m'[i])              in [0, 1]; 0 below 2^kFlush
///     sum[i]   = 2^(m - m') sum[i] + sum_j p[j][i]         T, chains of at most kKeyBlock
///     acc[c,i] = 2^(m - m') acc[c,i] + sum_j v[j][c] p[j][i]
///
/// Every superblock of kSuperblock blocks starts with m = -huge and sums of zero; `flush` adds what it found to float64
/// totals. So superblocks may be absorbed in any order, by any thread, as long as they are flushed in theirs.

#include "simd/exp2_constants.hpp"

#include <cstddef>
#include <cstdint>

namespace polyattn::simd {

inline constexpr std::ptrdiff_t kTile = 48;        ///< query lanes of a tile
inline constexpr std::ptrdiff_t kKeyBlock = 128;   ///< keys whose sums start from zero
inline constexpr std::ptrdiff_t kRowGroup = 8;     ///< keys, or value columns, packed side by side
inline constexpr std::ptrdiff_t kChain = 32;       ///< dimensions summed in one chain; chains are added up
inline constexpr std::ptrdiff_t kPackedRows = 16;  ///< rows packed at a time
inline constexpr std::ptrdiff_t kSuperblock = 16;  ///< key blocks between two flushes to float64
inline constexpr double kLog2E = 0x1.71547652b82fep+0;
inline constexpr std::ptrdiff_t kPadding = 16;  ///< rows that are measured are padded to a multiple

enum class TileScore : std::uint8_t {
  dot,        ///< sum_l k_l q_l
  gaussian,   ///< -sum_l (factor_l (q_l - k_l))^2
  isotropic,  ///< -factor_0 sum_l (q_l - k_l)^2
};

/// One key block as packed; `keys` of them rounded up to whole groups, the surplus hidden by a bias of -inf.
template <class T>
struct ExactBlock {
  const T* keys;               ///< [groups][dim][8]
  const T* values;             ///< [value_dim / 8][kKeyBlock][8], then [kKeyBlock][value_dim % 8]
  const T* bias;               ///< [8 groups], log2 units, relative to `offset`; -inf hides a key
  T offset;                    ///< whole number
  std::ptrdiff_t first_group;  ///< groups before it are seen by nobody
  std::ptrdiff_t groups;       ///< end of those to look at
};

/// The live sums of one tile, relative to 2^max, and what they are multiplied with next.
template <class T>
struct ExactState {
  T* max;          ///< [kTile] whole numbers, the least finite number before the first key
  T* excess;       ///< [kTile] largest score so far less max, in (-1, 0]; -inf before the first key
  T* sum;          ///< [kTile]
  T* accumulator;  ///< [value_dim][kTile]
};

/// c tanh(s / c) in place of raw scores s.
template <class T>
struct ExactCap {
  T in;   ///< 2 / c
  T out;  ///< c log2(e); 0: scores stay as they are
};

template <class T>
struct ExactTile {
  std::ptrdiff_t dim;
  std::ptrdiff_t value_dim;
  std::ptrdiff_t lanes;  ///< queries in use, 1 ... kTile; the others hold anything finite
  TileScore score;
  const T* queries;  ///< [dim][kTile]
  const T* factors;  ///< gaussian [dim], isotropic [1]
  ExactCap<T> cap;
  const T* mask;  ///< [kKeyBlock][kTile] added to the scores, log2 units; -inf hides; null: none
  bool guarded;   ///< with a mask: values of hidden keys may be infinite or NaN
  bool skip_far;  ///< keys and values are finite: blocks whose weights are all 0 need no further look
  T* scratch;     ///< kKeyBlock * kTile elements
};

/// A key block as it lies in memory: `count` rows, at least kPadding.
template <class T>
struct ExactRows {
  const T* keys;
  std::ptrdiff_t key_stride;
  const T* values;
  std::ptrdiff_t value_stride;
  const T* bias;  ///< [kKeyBlock] as in ExactBlock, -inf from `count` on
  T offset;
  std::ptrdiff_t count;
  std::ptrdiff_t ahead;  ///< rows this far on will be wanted soon; 0: none
};

template <class T>
struct ExactQuery {
  std::ptrdiff_t dim;
  std::ptrdiff_t value_dim;
  TileScore score;
  const T* query;    ///< [dim]
  const T* factors;  ///< as in ExactTile
  ExactCap<T> cap;
  const T* mask;  ///< [kKeyBlock] or null
  T* scratch;     ///< (1 + kPadding) * kKeyBlock elements
};

/// What the bounds need, gathered in passing. NaN or infinite keys show in key_square, values in the sums of the rows.
template <class T>
struct ExactRowStatistics {
  T* key_square;  ///< [kPadding] the largest |k|^2 as computed in T; starts at 0
  T* value_min;   ///< [value_dim padded]
  T* value_max;   ///< [value_dim padded]
  T* smallest;    ///< [kPadding] the non-zero magnitudes
  T* value_sum;   ///< [value_dim padded]
};

/// Ranges of the columns of some rows, padded to a multiple of kPadding.
template <class T>
struct ExactRanges {
  T* low;
  T* high;
  T* smallest;  ///< [kPadding] the non-zero magnitudes; null: neither they nor sums are wanted
  T* sum;
};

/// Float64 totals of one tile, relative to 2^max.
struct ExactTotals {
  double* max;          ///< [kTile]
  double* top;          ///< [kTile] largest score, -inf before the first key
  double* sum;          ///< [kTile]
  double* accumulator;  ///< [value_dim][kTile]
};

template <class T>
struct ExactKernels {
  /// One key block into the live sums.
  void (*absorb)(const ExactBlock<T>& block, const ExactTile<T>& tile, const ExactState<T>& state) noexcept;
  /// Live sums of a superblock into the totals; the state becomes that of no key seen.
  void (*flush)(std::ptrdiff_t value_dim, const ExactState<T>& state, const ExactTotals& totals) noexcept;
  /// One key block into the state of a single query (one lane: max, excess, sum; accumulator [value_dim padded]).
  void (*absorb_row)(const ExactRows<T>& block, const ExactQuery<T>& query, const ExactState<T>& state,
                     ExactRowStatistics<T>* statistics) noexcept;
  /// Such a state into the first lane of the totals.
  void (*flush_row)(std::ptrdiff_t value_dim, const ExactState<T>& state, const ExactTotals& totals) noexcept;
  /// out[c][i] = accumulator[c][i] / sum[i], clipped into [low[c], high[c]]; 0/0 is NaN and stays one.
  /// largest[i] = max_c |out[c][i]|, NaN if one of them is NaN or infinite.
  void (*divide)(std::ptrdiff_t value_dim, const ExactTotals& totals, const double* low, const double* high,
                 double* out, double* largest) noexcept;
  /// Sums of squares of `count` rows in float64, kPadding chains each: not finite if an element is not. Rows are padded
  /// with zeros to a multiple of kPadding.
  void (*squares)(const T* rows, std::ptrdiff_t stride, std::ptrdiff_t count, std::ptrdiff_t padded,
                  double* squares) noexcept;
  /// Takes such rows into the ranges. False if an element is not finite.
  bool (*ranges)(const T* rows, std::ptrdiff_t stride, std::ptrdiff_t count, std::ptrdiff_t padded,
                 const ExactRanges<T>& out) noexcept;
  /// out[r / 8][l][r % 8] = rows[r * stride + l] for kPackedRows rows.
  void (*interleave)(const T* rows, std::ptrdiff_t stride, std::ptrdiff_t dim, T* out) noexcept;
  /// kPackedRows rows of values, from row `first` of their block on, into ExactBlock::values.
  void (*pack_values)(const T* rows, std::ptrdiff_t stride, std::ptrdiff_t value_dim, std::ptrdiff_t first,
                      T* values) noexcept;
  /// Sums of squares and of |q_l| weights[l] of one row in float64, padded with zeros.
  void (*measure_query)(const double* row, std::ptrdiff_t padded, const double* weights, double* square,
                        double* weighted) noexcept;
  /// out[l][i] = rows[i * stride + l] * factor rounded to T for i < lanes, 0 beyond.
  void (*pack_queries)(const double* rows, std::ptrdiff_t stride, std::ptrdiff_t lanes, std::ptrdiff_t dim,
                       double factor, T* out) noexcept;
  /// Fills a tile's mask from rows [lanes][stride] in natural units: mask[j][i] = rows[i][j] log2(e), at least `floor`
  /// unless it is -inf. size[i] becomes at least |mask[j][i]| for what is visible, NaN if a row holds NaN or +inf.
  /// `lanes` and `keys` are rounded up to whole vectors. Returns whether anything is visible.
  bool (*mask_pairs)(const T* rows, std::ptrdiff_t stride, std::ptrdiff_t lanes, std::ptrdiff_t keys, T floor, T* mask,
                     T* size) noexcept;
  /// Fills a mask that hides keys of the block outside [first[i], last[i]) and adds nothing. Returns as mask_pairs.
  bool (*mask_ranges)(const T* first, const T* last, std::ptrdiff_t lanes, std::ptrdiff_t keys, T* mask) noexcept;
};

}  // namespace polyattn::simd
