#include "engines/columns.hpp"

#include "base/checked.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <type_traits>
#include <vector>

namespace polyattn::engines {

namespace {

/// What of rows [first, first + count) lies in a piece.
struct Part {
  std::int64_t row = 0;    ///< of the piece
  std::int64_t place = 0;  ///< in the block
  std::int64_t count = 0;
};

Part part_of(const base::RowPiece& piece, std::int64_t first, std::int64_t count) noexcept {
  const std::int64_t begin = std::max(first, piece.begin);
  const std::int64_t end = std::min(first + count, piece.begin + piece.count);
  return {begin - piece.begin, begin - first, std::max<std::int64_t>(end - begin, 0)};
}

/// Whether the numbers of a row lie side by side, in a type that the kernels read.
bool plain(const base::Rows& rows) noexcept {
  return std::all_of(rows.pieces.begin(), rows.pieces.end(), [](const base::RowPiece& piece) {
    return piece.column_stride == 1 && (piece.dtype == DType::float32 || piece.dtype == DType::float64);
  });
}

/// Calls body(data, row stride, part) with what of the rows lies in each piece.
template <class Body>
void for_parts(const base::Rows& rows, std::int64_t first, std::int64_t count, const Body& body) {
  for (const base::RowPiece& piece : rows.pieces) {
    const Part part = part_of(piece, first, count);
    if (part.count > 0 && piece.dtype == DType::float32) {
      body(static_cast<const float*>(piece.data) + part.row * piece.row_stride, piece.row_stride, part);
    } else if (part.count > 0) {
      body(static_cast<const double*>(piece.data) + part.row * piece.row_stride, piece.row_stride, part);
    }
  }
}

void run(const simd::LoadingKernels& kernels, const simd::ColumnsBlock<float>& block) { kernels.columns32(block); }
void run(const simd::LoadingKernels& kernels, const simd::ColumnsBlock<double>& block) { kernels.columns64(block); }
void run(const simd::LoadingKernels& kernels, const simd::PlaceBlock<float, float>& block) {
  kernels.place32in32(block);
}
void run(const simd::LoadingKernels& kernels, const simd::PlaceBlock<float, double>& block) {
  kernels.place32in64(block);
}
void run(const simd::LoadingKernels& kernels, const simd::PlaceBlock<double, float>& block) {
  kernels.place64in32(block);
}
void run(const simd::LoadingKernels& kernels, const simd::PlaceBlock<double, double>& block) {
  kernels.place64in64(block);
}

}  // namespace

void load_columns(const base::Rows& rows, std::int64_t first, std::int64_t count, double* out, std::int64_t ld) {
  if (!plain(rows)) {
    base::load_columns(rows, first, count, out, ld);
    return;
  }
  const simd::LoadingKernels& kernels = simd::kernels().loading;
  for_parts(rows, first, count, [&](const auto* data, std::int64_t stride, const Part& part) {
    using S = std::remove_cv_t<std::remove_pointer_t<decltype(data)>>;
    run(kernels, simd::ColumnsBlock<S>{data, stride, part.count, rows.columns, out + part.place, ld});
  });
}

template <class T>
void place_columns(const base::Rows& rows, std::int64_t first, std::int64_t count, const double* centre,
                   const double* factor, T* out, std::int64_t ld) {
  if (plain(rows)) {
    const simd::LoadingKernels& kernels = simd::kernels().loading;
    for_parts(rows, first, count, [&](const auto* data, std::int64_t stride, const Part& part) {
      using S = std::remove_cv_t<std::remove_pointer_t<decltype(data)>>;
      run(kernels,
          simd::PlaceBlock<S, T>{data, stride, part.count, rows.columns, centre, factor, out + part.place, ld});
    });
    return;
  }
  std::vector<double> columns(base::usize(count * rows.columns));
  base::load_columns(rows, first, count, columns.data(), count);
  for (std::int64_t c = 0; c < rows.columns; ++c) {
    const double scale = factor == nullptr ? 1.0 : factor[c];
    for (std::int64_t r = 0; r < count; ++r) {
      out[c * ld + r] = static_cast<T>((columns[base::usize(c * count + r)] - centre[c]) * scale);
    }
  }
}
template void place_columns<float>(const base::Rows&, std::int64_t, std::int64_t, const double*, const double*, float*,
                                   std::int64_t);
template void place_columns<double>(const base::Rows&, std::int64_t, std::int64_t, const double*, const double*,
                                    double*, std::int64_t);

}  // namespace polyattn::engines
