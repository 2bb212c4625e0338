#pragma once

/// Element types of tensors as they are stored. Storage is separate from arithmetic: every engine computes in
/// float32 or float64 whatever the storage type.

#include <cstddef>
#include <cstdint>

namespace polyattn {

enum class DType : std::uint8_t { float16, bfloat16, float32, float64 };

/// Bytes per element.
constexpr std::size_t size_of(DType type) noexcept {
  switch (type) {
    case DType::float16:
    case DType::bfloat16:
      return 2;
    case DType::float32:
      return 4;
    case DType::float64:
      return 8;
  }
  return 0;
}

constexpr const char* name_of(DType type) noexcept {
  switch (type) {
    case DType::float16:
      return "float16";
    case DType::bfloat16:
      return "bfloat16";
    case DType::float32:
      return "float32";
    case DType::float64:
      return "float64";
  }
  return "unknown";
}

/// The dtype of a C++ element type: float or double. 16-bit data is described by its dtype alone.
template <class T>
constexpr DType dtype_of() noexcept;
template <>
constexpr DType dtype_of<float>() noexcept {
  return DType::float32;
}
template <>
constexpr DType dtype_of<double>() noexcept {
  return DType::float64;
}

}  // namespace polyattn
