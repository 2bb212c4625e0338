#include "base/rows.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace polyattn::base {

namespace {

/// Both exact, and without branches, so that loops over them become vector code.
float half_to_float(std::uint16_t bits) noexcept {
  const auto magnitude = static_cast<std::int32_t>(bits & 0x7fffU);
  const auto sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
  // The fields of a half in those of a float: 2^112 too small, subnormals included.
  const auto fields = static_cast<std::uint32_t>(magnitude) << 13;
  const auto finite = std::bit_cast<std::uint32_t>(std::bit_cast<float>(fields) * 0x1p112F);
  return std::bit_cast<float>(sign | (magnitude >= 0x7c00 ? fields | 0x7f800000U : finite));
}

float bfloat_to_float(std::uint16_t bits) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

}  // namespace

double half_to_double(std::uint16_t bits) noexcept { return static_cast<double>(half_to_float(bits)); }
double bfloat_to_double(std::uint16_t bits) noexcept { return static_cast<double>(bfloat_to_float(bits)); }

namespace {

/// Rounds to a binary format of `precision` bits whose least exponent gives spacing 2^min_spacing; overflow to infinity
/// is left to the caller.
double round_to_spacing(double value, int precision, int min_spacing) noexcept {
  if (value == 0.0 || !std::isfinite(value)) {
    return value;
  }
  const int spacing = std::max(std::ilogb(value) - (precision - 1), min_spacing);
  return std::ldexp(std::nearbyint(std::ldexp(value, -spacing)), spacing);  // ties to even in the default environment
}

template <class Stored, class T, class Decode>
void decode_elements(const Stored* data, std::int64_t stride, std::int64_t count, T* out,
                     const Decode& decode) noexcept {
  if (stride == 1) {
    for (std::int64_t c = 0; c < count; ++c) {
      out[c] = static_cast<T>(decode(data[c]));
    }
  } else {
    for (std::int64_t c = 0; c < count; ++c) {
      out[c] = static_cast<T>(decode(data[c * stride]));
    }
  }
}

}  // namespace

std::uint16_t double_to_half(double value) noexcept {
  const std::uint16_t sign = std::signbit(value) ? 0x8000U : 0U;
  if (std::isnan(value)) {
    return static_cast<std::uint16_t>(sign | 0x7e00U);
  }
  const double magnitude = round_to_spacing(std::fabs(value), 11, -24);
  if (magnitude > 65504.0) {
    return static_cast<std::uint16_t>(sign | 0x7c00U);
  }
  if (magnitude < std::ldexp(1.0, -14)) {
    return static_cast<std::uint16_t>(sign | static_cast<unsigned>(std::ldexp(magnitude, 24)));
  }
  const int exponent = std::ilogb(magnitude);
  const auto fraction = static_cast<unsigned>(std::ldexp(magnitude, 10 - exponent)) & 0x3ffU;
  return static_cast<std::uint16_t>(sign | (static_cast<unsigned>(exponent + 15) << 10) | fraction);
}

std::uint16_t double_to_bfloat(double value) noexcept {
  const float rounded = static_cast<float>(round_to_spacing(value, 8, -133));
  const auto bits = std::bit_cast<std::uint32_t>(rounded);
  return static_cast<std::uint16_t>((bits >> 16) | (std::isnan(value) ? 0x40U : 0U));
}

double unit_roundoff(DType type) noexcept {
  switch (type) {
    case DType::float16:
      return 0x1p-11;
    case DType::bfloat16:
      return 0x1p-8;
    case DType::float32:
      return 0x1p-24;
    case DType::float64:
      return 0x1p-53;
  }
  return 1.0;
}

Rows head_rows(const ConstView& view, std::int64_t batch, std::int64_t head) {
  const std::int64_t offset = batch * view.strides[0] + head * view.strides[1];
  const auto* bytes = static_cast<const std::byte*>(view.data);
  RowPiece piece;
  piece.data = bytes == nullptr ? nullptr : bytes + offset * static_cast<std::int64_t>(size_of(view.dtype));
  piece.dtype = view.dtype;
  piece.count = view.shape[2];
  piece.row_stride = view.strides[2];
  piece.column_stride = view.strides[3];
  return {{piece}, view.shape[2], view.shape[3]};
}

void append_rows(Rows& rows, const Rows& tail) {
  for (RowPiece piece : tail.pieces) {
    piece.begin += rows.rows;
    rows.pieces.push_back(piece);
  }
  rows.rows += tail.rows;
}

template <class T>
void load_elements(const void* data, DType type, std::int64_t offset, std::int64_t stride, std::int64_t count,
                   T* out) noexcept {
  const auto same = [](auto x) { return x; };
  switch (type) {
    case DType::float16:
      return decode_elements(static_cast<const std::uint16_t*>(data) + offset, stride, count, out, half_to_float);
    case DType::bfloat16:
      return decode_elements(static_cast<const std::uint16_t*>(data) + offset, stride, count, out, bfloat_to_float);
    case DType::float32:
      return decode_elements(static_cast<const float*>(data) + offset, stride, count, out, same);
    case DType::float64:
      return decode_elements(static_cast<const double*>(data) + offset, stride, count, out, same);
  }
}

template <class T>
void load_rows(const Rows& rows, std::int64_t first, std::int64_t count, T* out, std::int64_t ld) noexcept {
  for (const RowPiece& piece : rows.pieces) {
    const std::int64_t begin = std::max(first, piece.begin);
    const std::int64_t end = std::min(first + count, piece.begin + piece.count);
    if (begin < end && piece.column_stride == 1 && piece.row_stride == rows.columns && ld == rows.columns) {
      load_elements(piece.data, piece.dtype, (begin - piece.begin) * piece.row_stride, 1, (end - begin) * rows.columns,
                    out + (begin - first) * ld);
      continue;
    }
    for (std::int64_t r = begin; r < end; ++r) {
      load_elements(piece.data, piece.dtype, (r - piece.begin) * piece.row_stride, piece.column_stride, rows.columns,
                    out + (r - first) * ld);
    }
  }
}
template void load_elements<float>(const void*, DType, std::int64_t, std::int64_t, std::int64_t, float*) noexcept;
template void load_elements<double>(const void*, DType, std::int64_t, std::int64_t, std::int64_t, double*) noexcept;
template void load_rows<float>(const Rows&, std::int64_t, std::int64_t, float*, std::int64_t) noexcept;
template void load_rows<double>(const Rows&, std::int64_t, std::int64_t, double*, std::int64_t) noexcept;

namespace {

/// Rows go in groups that stay in the first-level cache while their columns are picked out.
template <class Stored, class T, class Decode>
void decode_columns(const Stored* data, const RowPiece& piece, std::int64_t count, std::int64_t columns, T* out,
                    std::int64_t ld, const Decode& decode) noexcept {
  constexpr std::int64_t kGroup = 16;
  for (std::int64_t first = 0; first < count; first += kGroup) {
    const std::int64_t here = std::min(kGroup, count - first);
    for (std::int64_t c = 0; c < columns; ++c) {
      const Stored* source = data + first * piece.row_stride + c * piece.column_stride;
      T* target = out + c * ld + first;
      if (here == kGroup) {  // a count known to the compiler
        for (std::int64_t r = 0; r < kGroup; ++r) {
          target[r] = static_cast<T>(decode(source[r * piece.row_stride]));
        }
        continue;
      }
      for (std::int64_t r = 0; r < here; ++r) {
        target[r] = static_cast<T>(decode(source[r * piece.row_stride]));
      }
    }
  }
}

}  // namespace

template <class T>
void load_columns(const Rows& rows, std::int64_t first, std::int64_t count, T* out, std::int64_t ld) noexcept {
  const auto same = [](auto x) { return x; };
  for (const RowPiece& piece : rows.pieces) {
    const std::int64_t begin = std::max(first, piece.begin);
    const std::int64_t here = std::min(first + count, piece.begin + piece.count) - begin;
    if (here <= 0) {
      continue;
    }
    const std::int64_t offset = (begin - piece.begin) * piece.row_stride;
    T* target = out + (begin - first);
    const auto decode = [&](const auto* data, const auto& element) {
      decode_columns(data + offset, piece, here, rows.columns, target, ld, element);
    };
    switch (piece.dtype) {
      case DType::float16:
        decode(static_cast<const std::uint16_t*>(piece.data), half_to_float);
        break;
      case DType::bfloat16:
        decode(static_cast<const std::uint16_t*>(piece.data), bfloat_to_float);
        break;
      case DType::float32:
        decode(static_cast<const float*>(piece.data), same);
        break;
      case DType::float64:
        decode(static_cast<const double*>(piece.data), same);
        break;
    }
  }
}
template void load_columns<float>(const Rows&, std::int64_t, std::int64_t, float*, std::int64_t) noexcept;
template void load_columns<double>(const Rows&, std::int64_t, std::int64_t, double*, std::int64_t) noexcept;

bool fits_float32(const Rows& rows) noexcept {
  return std::none_of(rows.pieces.begin(), rows.pieces.end(),
                      [](const RowPiece& piece) { return piece.dtype == DType::float64; });
}

RowSink head_sink(const View& view, std::int64_t batch, std::int64_t head) noexcept {
  auto* bytes = static_cast<std::byte*>(view.data);
  const std::int64_t offset = batch * view.strides[0] + head * view.strides[1];
  return {bytes == nullptr ? nullptr : bytes + offset * static_cast<std::int64_t>(size_of(view.dtype)), view.dtype,
          view.strides[2], view.strides[3]};
}

namespace {

/// Calls store(data, encode) with the sink's data as what it holds.
template <class Store>
void with_encoding(const RowSink& sink, const Store& store) noexcept {
  switch (sink.dtype) {
    case DType::float16:
      store(static_cast<std::uint16_t*>(sink.data), double_to_half);
      break;
    case DType::bfloat16:
      store(static_cast<std::uint16_t*>(sink.data), double_to_bfloat);
      break;
    case DType::float32:
      store(static_cast<float*>(sink.data), [](double v) { return static_cast<float>(v); });
      break;
    case DType::float64:
      store(static_cast<double*>(sink.data), [](double v) { return v; });
      break;
  }
}

}  // namespace

void store_row(const RowSink& sink, std::int64_t row, const double* values, std::int64_t columns) noexcept {
  with_encoding(sink, [&](auto* data, const auto& encode) {
    auto* target = data + row * sink.row_stride;
    for (std::int64_t c = 0; c < columns; ++c) {
      target[c * sink.column_stride] = encode(values[c]);
    }
  });
}

void store_columns(const RowSink& sink, std::int64_t first, std::int64_t count, const double* values, std::int64_t ld,
                   std::int64_t columns) noexcept {
  with_encoding(sink, [&](auto* data, const auto& encode) {
    constexpr std::int64_t kGroup = 8;  // columns whose parts of a row share its cache line
    for (std::int64_t c0 = 0; c0 < columns; c0 += kGroup) {
      const std::int64_t last = std::min(c0 + kGroup, columns);
      for (std::int64_t r = 0; r < count; ++r) {
        auto* target = data + (first + r) * sink.row_stride;
        for (std::int64_t c = c0; c < last; ++c) {
          target[c * sink.column_stride] = encode(values[c * ld + r]);
        }
      }
    }
  });
}

}  // namespace polyattn::base
