#pragma once

/// Single elements of stored tensors as float64, exactly.

#include "polyattn/dtype.hpp"
#include "polyattn/view.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace polyattn::io {

/// IEEE 754 binary16.
inline double float16_value(std::uint16_t bits) noexcept {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  const double sign = (bits >> 15) != 0 ? -1.0 : 1.0;
  if (exponent == 31) {
    return sign * (fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN());
  }
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(fraction + 1024, exponent - 25));
}

/// The upper half of an IEEE 754 binary32.
inline double bfloat16_value(std::uint16_t bits) noexcept {
  return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16));
}

/// Element `index` of elements of type `dtype` at `data`.
inline double element(const void* data, DType dtype, std::int64_t index) noexcept {
  const auto read = [&]<class T>(T value) {
    std::memcpy(&value, static_cast<const char*>(data) + index * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
    return value;
  };
  switch (dtype) {
    case DType::float16:
      return float16_value(read(std::uint16_t{}));
    case DType::bfloat16:
      return bfloat16_value(read(std::uint16_t{}));
    case DType::float32:
      return static_cast<double>(read(0.0F));
    case DType::float64:
      return read(0.0);
  }
  return std::numeric_limits<double>::quiet_NaN();
}

inline double element(const ConstView& view, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t c) noexcept {
  return element(view.data, view.dtype,
                 b * view.strides[0] + h * view.strides[1] + i * view.strides[2] + c * view.strides[3]);
}

}  // namespace polyattn::io
