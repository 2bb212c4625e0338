#pragma once

/// Sums over several sets of keys that grow, and shrink, from row to row, and the rows read off their product. Lanes
/// are features. Plain types only.

#include <cstddef>

namespace polyattn::simd {

/// Features are padded with zeros to a multiple of this, degree by degree.
inline constexpr std::ptrdiff_t kSlidingLanes = 8;
/// Most sets of keys.
inline constexpr int kSlidingSets = 4;

/// out[token][f] = x^alpha [times weights[f]], zeros in the padding. Within a degree monomials are lexicographic in the
/// non-decreasing list of their variables: those of degree t whose first variable is l are x_l times those of degree
/// t - 1 from tails[(t - 1) dim + l] on.
struct ExpandTokens {
  std::ptrdiff_t dim;
  int degree;
  const std::ptrdiff_t* starts;  ///< [degree + 1] multiples of kSlidingLanes
  const std::ptrdiff_t* counts;  ///< [degree + 1] without padding
  const std::ptrdiff_t* tails;   ///< [degree][dim]
  const double* x;               ///< [dim][ld]
  std::ptrdiff_t ld;
  std::ptrdiff_t tokens;
  const double* weights;  ///< [stride] or null
  double* out;            ///< [tokens][stride], and kSlidingLanes more
  std::ptrdiff_t stride;
};

/// One set: events first[i] ... first[i + 1] - 1 happen before row i is read.
struct SlidingSet {
  const std::ptrdiff_t* first;  ///< [rows + 1]
  const double* features;       ///< [events][stride]
  const double* values;         ///< [events][columns]; of keys that leave, negative
  double* sums;                 ///< [columns][stride]
};

/// For columns [column, column_end) and features [feature, feature_end), multiples of kSlidingLanes, row by row:
///     sums[c][f] += features[event][f] * values[event][c] for the row's events of each set,
///     out[c * ld + row] = sum_f query[row][f] * (product over sets of sums[c][f]).
struct SlidingBlock {
  SlidingSet sets[static_cast<std::size_t>(kSlidingSets)];
  int count;  ///< of sets, at least 1
  std::ptrdiff_t rows;
  std::ptrdiff_t stride;   ///< of features
  std::ptrdiff_t columns;  ///< of values
  std::ptrdiff_t feature;
  std::ptrdiff_t feature_end;
  std::ptrdiff_t column;
  std::ptrdiff_t column_end;
  const double* query;  ///< [rows][stride]
  double* partial;      ///< scratch [columns][rows][kSlidingLanes]
  double* out;          ///< [columns][ld]
  std::ptrdiff_t ld;
};

struct SlidingKernels {
  void (*expand)(const ExpandTokens&) noexcept;
  void (*slide)(const SlidingBlock&) noexcept;
};

}  // namespace polyattn::simd
