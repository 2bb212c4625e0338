#pragma once

/// Views of tensors in memory the caller owns. Logical order is always [batch, heads, sequence, dim]; the layout in
/// memory is given by strides, so [batch, sequence, heads, dim] and transposed matrices work without a copy.

#include "polyattn/dtype.hpp"

#include <array>
#include <cstdint>

namespace polyattn {

using Shape = std::array<std::int64_t, 4>;

/// Strides, in elements, of a contiguous tensor. A shape whose strides do not fit 64 bits is rejected by the entry
/// points, which check the product again; the arithmetic here wraps instead of overflowing.
constexpr Shape contiguous_strides(const Shape& shape) noexcept {
  const auto times = [](std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
  };
  const std::int64_t row = shape[3];
  const std::int64_t head = times(row, shape[2]);
  return {times(head, shape[1]), head, row, 1};
}

/// A read-only tensor. `strides` are in elements, may be negative or zero.
struct ConstView {
  const void* data = nullptr;
  DType dtype = DType::float32;
  Shape shape{};
  Shape strides{};
};

/// A writable tensor.
struct View {
  void* data = nullptr;
  DType dtype = DType::float32;
  Shape shape{};
  Shape strides{};

  operator ConstView() const noexcept { return {data, dtype, shape, strides}; }
};

/// A read-only tensor of booleans, one byte each; true means the key takes part, as in PyTorch.
struct ConstBoolView {
  const std::uint8_t* data = nullptr;
  Shape shape{};
  Shape strides{};
};

/// A contiguous matrix [n, dim]: one batch, one head.
template <class T>
ConstView matrix(const T* data, std::int64_t n, std::int64_t dim) noexcept {
  const Shape shape{1, 1, n, dim};
  return {data, dtype_of<T>(), shape, contiguous_strides(shape)};
}
template <class T>
View matrix(T* data, std::int64_t n, std::int64_t dim) noexcept {
  const Shape shape{1, 1, n, dim};
  return {data, dtype_of<T>(), shape, contiguous_strides(shape)};
}

/// A contiguous tensor [batch, heads, n, dim].
template <class T>
ConstView tensor(const T* data, const Shape& shape) noexcept {
  return {data, dtype_of<T>(), shape, contiguous_strides(shape)};
}
template <class T>
View tensor(T* data, const Shape& shape) noexcept {
  return {data, dtype_of<T>(), shape, contiguous_strides(shape)};
}

/// A key bias: [n_kv], [heads, n_kv] or [batch, heads, n_kv]. Sizes of one repeat over batch or heads.
template <class T>
ConstView bias(const T* data, std::int64_t n_kv) noexcept {
  return {data, dtype_of<T>(), {1, 1, n_kv, 1}, {0, 0, 1, 1}};
}
template <class T>
ConstView bias(const T* data, std::int64_t heads, std::int64_t n_kv) noexcept {
  return {data, dtype_of<T>(), {1, heads, n_kv, 1}, {0, n_kv, 1, 1}};
}
template <class T>
ConstView bias(const T* data, std::int64_t batch, std::int64_t heads, std::int64_t n_kv) noexcept {
  return {data, dtype_of<T>(), {batch, heads, n_kv, 1}, {heads * n_kv, n_kv, 1, 1}};
}

}  // namespace polyattn
