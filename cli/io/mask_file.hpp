#pragma once

/// Files whose elements are not floating-point numbers: masks of booleans, offsets of packed sequences.

#include "io/mapped_file.hpp"
#include "polyattn/view.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace polyattn::io {

struct StoredBooleans {
  std::string name;                   ///< as the user wrote it: FILE or FILE:NAME
  std::vector<std::int64_t> dims;     ///< 1 to 4 of them, outermost first
  std::vector<std::int64_t> strides;  ///< one per dim
  const std::uint8_t* data = nullptr;
  std::shared_ptr<const MappedFile> file;
};

/// Booleans or uint8, of which only 0 is false, with the dimensions of Role::mask; mapped, not read. Throws Error
/// (invalid_argument) naming the file and what is wrong with it.
StoredBooleans read_booleans(const std::string& name);
/// Dimensions missing in front are 1.
ConstBoolView boolean_view(const StoredBooleans& tensor);

/// The numbers of a file of int64 with one dimension.
std::vector<std::int64_t> read_offsets(const std::string& name);

}  // namespace polyattn::io
