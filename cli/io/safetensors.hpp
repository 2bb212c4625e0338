#pragma once

/// The .safetensors format:
///
///     header length (8 bytes, little-endian) | header (JSON) | elements of all tensors
///
/// The header maps each name to {"dtype", "shape", "data_offsets": [begin, end)}, offsets from the end of the header,
/// and may carry "__metadata__". As the format demands, the tensors must fill the rest of the file without overlaps or
/// gaps.

#include "io/mapped_file.hpp"
#include "io/stored_tensor.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace polyattn::io {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;  ///< as in the file, e.g. "BF16"
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0;  ///< in bytes of the file
  std::int64_t end = 0;
};

/// Every tensor of the file, sorted by name. Throws Error (invalid_argument) if the file is not what it should be.
std::vector<SafetensorsEntry> list_safetensors(const MappedFile& file);

/// The entry called `tensor`. Throws Error (invalid_argument), listing the names there are if it is not among them.
SafetensorsEntry find_safetensors(const MappedFile& file, const std::string& tensor);

/// The tensor called `tensor`; F16, BF16, F32 or F64 only. Throws Error (invalid_argument).
StoredTensor read_safetensors(const std::shared_ptr<const MappedFile>& file, const std::string& tensor, Role role);

}  // namespace polyattn::io
