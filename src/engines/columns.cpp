#include "engines/columns.hpp"

#include "simd/dispatch.hpp"

#include <algorithm>

namespace polyattn::engines {

namespace {

template <class T>
simd::ColumnsBlock<T> columns_block(const base::Rows& rows, const base::RowPiece& piece, std::int64_t first,
                                    std::int64_t count, double* out, std::int64_t ld) noexcept {
  const std::int64_t begin = std::max(first, piece.begin);
  const std::int64_t end = std::min(first + count, piece.begin + piece.count);
  const T* data = static_cast<const T*>(piece.data) + (begin - piece.begin) * piece.row_stride;
  return {data, piece.row_stride, end - begin, rows.columns, out + (begin - first), ld};
}

}  // namespace

void load_columns(const base::Rows& rows, std::int64_t first, std::int64_t count, double* out,
                  std::int64_t ld) noexcept {
  const bool plain = std::all_of(rows.pieces.begin(), rows.pieces.end(), [](const base::RowPiece& piece) {
    return piece.column_stride == 1 && (piece.dtype == DType::float32 || piece.dtype == DType::float64);
  });
  if (!plain) {
    base::load_columns(rows, first, count, out, ld);
    return;
  }
  const simd::LoadingKernels& kernels = simd::kernels().loading;
  for (const base::RowPiece& piece : rows.pieces) {
    if (first + count <= piece.begin || piece.begin + piece.count <= first) {
      continue;
    }
    if (piece.dtype == DType::float32) {
      kernels.columns32(columns_block<float>(rows, piece, first, count, out, ld));
    } else {
      kernels.columns64(columns_block<double>(rows, piece, first, count, out, ld));
    }
  }
}

}  // namespace polyattn::engines
