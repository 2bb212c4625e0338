#pragma once

/// Views checked on their own: sizes, strides, data, and the memory they touch.

#include "polyattn/view.hpp"

#include <cstdint>
#include <span>
#include <string>

namespace polyattn::api {

/// "[1, 2, 3, 4]"
std::string text(const Shape& shape);

/// The bytes a view can touch; none if it is empty.
struct ByteRange {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};

/// Throws Error (invalid_argument) naming the view if its dtype is unknown, a size negative, an extent beyond 63 bits
/// or data missing.
ByteRange check_view(const char* name, const ConstView& view);
ByteRange check_view(const char* name, const ConstBoolView& view);

/// Checks that a destination has this shape and overlaps no input and no other destination.
void check_destination(const char* name, const View& view, const Shape& shape, std::span<const ByteRange> others);

}  // namespace polyattn::api
