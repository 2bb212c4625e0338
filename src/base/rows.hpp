#pragma once

/// Rows of one head as the engines read them: any storage type, any strides, possibly in several pieces (keys that were
/// appended later). All conversion from storage to arithmetic happens here.

#include "polyattn/dtype.hpp"
#include "polyattn/view.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::base {

/// Consecutive rows [begin, begin + count) stored in one place. Strides in elements.
struct RowPiece {
  const void* data = nullptr;
  DType dtype = DType::float32;
  std::int64_t begin = 0;
  std::int64_t count = 0;
  std::int64_t row_stride = 0;
  std::int64_t column_stride = 1;
  bool operator==(const RowPiece&) const = default;
};

/// A matrix [rows, columns] in pieces, in order of `begin`.
struct Rows {
  std::vector<RowPiece> pieces;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  bool operator==(const Rows&) const = default;
};

/// The [sequence, dim] matrix of one (batch, head) of a view.
Rows head_rows(const ConstView& view, std::int64_t batch, std::int64_t head);
/// `tail` after `rows`.
void append_rows(Rows& rows, const Rows& tail);

/// Loads `count` elements from data[offset] on, `stride` apart: float64 rounds to nearest when T is float, all else is
/// exact.
template <class T>
void load_elements(const void* data, DType type, std::int64_t offset, std::int64_t stride, std::int64_t count,
                   T* out) noexcept;
/// Loads `count` rows from `first` into out[r * ld + c].
template <class T>
void load_rows(const Rows& rows, std::int64_t first, std::int64_t count, T* out, std::int64_t ld) noexcept;

/// The same transposed: out[c * ld + r].
template <class T>
void load_columns(const Rows& rows, std::int64_t first, std::int64_t count, T* out, std::int64_t ld) noexcept;

/// True if every piece is float32 (or 16-bit, whose values are float32 values too).
bool fits_float32(const Rows& rows) noexcept;

/// Where one head's results go: element (r, c) of a [rows, columns] matrix.
struct RowSink {
  void* data = nullptr;
  DType dtype = DType::float32;
  std::int64_t row_stride = 0;
  std::int64_t column_stride = 1;
};

RowSink head_sink(const View& view, std::int64_t batch, std::int64_t head) noexcept;
/// Stores one row of float64 values, rounded to nearest, ties to even.
void store_row(const RowSink& sink, std::int64_t row, const double* values, std::int64_t columns) noexcept;

/// The same for rows [first, first + count) at once, given column by column: element (r, c) is values[c * ld + r].
void store_columns(const RowSink& sink, std::int64_t first, std::int64_t count, const double* values, std::int64_t ld,
                   std::int64_t columns) noexcept;

/// Unit roundoff of a storage type: 2^-11, 2^-8, 2^-24, 2^-53.
double unit_roundoff(DType type) noexcept;

double half_to_double(std::uint16_t bits) noexcept;
double bfloat_to_double(std::uint16_t bits) noexcept;
std::uint16_t double_to_half(double value) noexcept;
std::uint16_t double_to_bfloat(double value) noexcept;

}  // namespace polyattn::base
