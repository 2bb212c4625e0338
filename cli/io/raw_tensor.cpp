#include "io/raw_tensor.hpp"

#include "io/npy.hpp"
#include "io/safetensors.hpp"
#include "io/tensor_file.hpp"
#include "polyattn/error.hpp"

#include <algorithm>
#include <string_view>

namespace polyattn::io {

RawTensor read_raw(const std::string& name, std::span<const RawType> types, const char* expected) {
  const TensorName parts = split_name(name);
  RawTensor raw;
  raw.file = std::make_shared<const MappedFile>(parts.path);
  const auto find = [&](std::string_view type, const std::string& found, const char* RawType::*format) {
    const auto at = std::ranges::find_if(types, [&](const RawType& accepted) { return type == accepted.*format; });
    if (at == types.end()) {
      throw Error(ErrorCode::invalid_argument, name + ": holds " + found + ", expected " + expected);
    }
    return static_cast<std::size_t>(at - types.begin());
  };
  if (parts.safetensors) {
    const SafetensorsEntry entry = find_safetensors(*raw.file, parts.tensor);
    raw.type = find(entry.dtype, entry.dtype, &RawType::safetensors);
    raw.data = raw.file->bytes().data() + entry.begin;
    raw.dims = entry.shape;
    return raw;
  }
  const NpyHeader header = parse_npy_header(raw.file->bytes(), name);
  const std::string found = describe_npy_type(header.descr);
  raw.type = find(header.descr, found, &RawType::npy);
  raw.data = npy_elements(*raw.file, header, types[raw.type].size, found);
  raw.dims = header.shape;
  raw.fortran_order = header.fortran_order;
  return raw;
}

}  // namespace polyattn::io
