#pragma once

/// Elements of any type as they lie in a file.

#include "io/mapped_file.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace polyattn::io {

/// A type as each format calls it; empty: that format does not have it.
struct RawType {
  const char* npy;
  const char* safetensors;
  std::size_t size;  ///< bytes of an element
};

struct RawTensor {
  std::shared_ptr<const MappedFile> file;
  const std::byte* data = nullptr;
  std::vector<std::int64_t> dims;
  bool fortran_order = false;
  std::size_t type = 0;  ///< which of the types that were accepted
};

/// The tensor called `name` (FILE.npy or FILE.safetensors:NAME), mapped, not read. Throws Error (invalid_argument)
/// naming the file and, if the type is none of `types`, what it holds and what was `expected`.
RawTensor read_raw(const std::string& name, std::span<const RawType> types, const char* expected);

}  // namespace polyattn::io
