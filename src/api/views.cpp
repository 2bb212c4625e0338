#include "api/views.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"

namespace polyattn::api {

namespace {

using base::fail;

/// Checks that no product overflows.
ByteRange byte_range(const char* name, const void* data, std::size_t element, const Shape& shape,
                     const Shape& strides) {
  const auto size = static_cast<std::int64_t>(element);
  std::int64_t elements = 1;
  for (const std::int64_t n : shape) {
    if (n < 0) {
      fail(ErrorCode::invalid_argument, name, "sizes of at least 0", "shape " + text(shape));
    }
    elements = base::checked_mul(elements, n, name);
  }
  base::checked_mul(elements, size, name);
  std::int64_t low = 0;
  std::int64_t high = 0;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] == 0) {
      return {};
    }
    std::int64_t span = 0;
    if (__builtin_mul_overflow(shape[axis] - 1, strides[axis], &span) || __builtin_mul_overflow(span, size, &span) ||
        __builtin_add_overflow(span < 0 ? low : high, span, span < 0 ? &low : &high)) {
      fail(ErrorCode::invalid_argument, name, "strides and sizes whose extent fits 63 bits",
           "shape " + text(shape) + ", strides " + text(strides));
    }
  }
  if (data == nullptr) {
    fail(ErrorCode::invalid_argument, name, "data", "a null pointer with shape " + text(shape));
  }
  const auto base = reinterpret_cast<std::uintptr_t>(data);
  return {base + static_cast<std::uintptr_t>(low), base + static_cast<std::uintptr_t>(high + size)};
}

}  // namespace

std::string text(const Shape& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    out.append(i == 0 ? "" : ", ").append(std::to_string(shape[i]));
  }
  return out + "]";
}

ByteRange check_view(const char* name, const ConstView& view) {
  if (size_of(view.dtype) == 0) {
    fail(ErrorCode::invalid_argument, name, "a known dtype", std::to_string(static_cast<int>(view.dtype)));
  }
  return byte_range(name, view.data, size_of(view.dtype), view.shape, view.strides);
}

ByteRange check_view(const char* name, const ConstBoolView& view) {
  return byte_range(name, view.data, 1, view.shape, view.strides);
}

void check_destination(const char* name, const View& view, const Shape& shape, std::span<const ByteRange> others) {
  if (view.shape != shape) {
    fail(ErrorCode::invalid_argument, name, "shape " + text(shape), text(view.shape));
  }
  const ByteRange target = check_view(name, view);
  for (const ByteRange& other : others) {
    if (target.begin < other.end && other.begin < target.end) {
      fail(ErrorCode::invalid_argument, name, "memory that no input and no other destination uses", "an overlap");
    }
  }
}

}  // namespace polyattn::api
