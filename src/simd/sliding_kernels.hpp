#pragma once

/// Sums over several sets of keys that grow, and shrink, from row to row, and the rows read off their product. Lanes are
/// features. Plain types only.

#include <cstddef>

namespace polyattn::simd {

/// Features are padded with zeros to a multiple of this, degree by degree.
inline constexpr std::ptrdiff_t kSlidingLanes = 8;
/// Most sets of keys, and columns that are taken together.
inline constexpr int kSlidingSets = 4;
inline constexpr std::ptrdiff_t kSlidingColumns = 4;

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
  double* partial;      ///< scratch [rows][kSlidingColumns][kSlidingLanes]
  double* out;          ///< [columns][ld]
  std::ptrdiff_t ld;
};

struct SlidingKernels {
  void (*slide)(const SlidingBlock&) noexcept;
};

}  // namespace polyattn::simd
