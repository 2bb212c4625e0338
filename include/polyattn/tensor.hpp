#pragma once

/// An owned, contiguous tensor: what results are returned in.

#include "polyattn/export.hpp"
#include "polyattn/view.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace polyattn {

class POLYATTN_EXPORT Tensor {
 public:
  Tensor() noexcept = default;
  /// Uninitialised storage; throws Error (out_of_memory) if it cannot be had, (invalid_argument) if the size overflows.
  Tensor(DType dtype, const Shape& shape);

  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] std::int64_t elements() const noexcept { return elements_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return static_cast<std::size_t>(elements_) * size_of(dtype_); }
  [[nodiscard]] void* data() noexcept { return data_.get(); }
  [[nodiscard]] const void* data() const noexcept { return data_.get(); }
  template <class T>
  [[nodiscard]] const T* as() const noexcept {
    return dtype_ == dtype_of<T>() ? reinterpret_cast<const T*>(data_.get()) : nullptr;
  }
  [[nodiscard]] ConstView view() const noexcept { return {data_.get(), dtype_, shape_, contiguous_strides(shape_)}; }
  [[nodiscard]] View view() noexcept { return {data_.get(), dtype_, shape_, contiguous_strides(shape_)}; }

 private:
  struct Free {
    void operator()(std::byte* p) const noexcept;
  };
  DType dtype_ = DType::float32;
  Shape shape_{};
  std::int64_t elements_ = 0;
  std::unique_ptr<std::byte[], Free> data_;
};

}  // namespace polyattn
