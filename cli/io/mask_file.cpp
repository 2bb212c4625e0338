#include "io/mask_file.hpp"

#include "io/npy.hpp"
#include "io/safetensors.hpp"
#include "io/stored_tensor.hpp"
#include "io/tensor_file.hpp"
#include "polyattn/error.hpp"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <string_view>

namespace polyattn::io {

namespace {

/// Elements as they lie in a file.
struct RawTensor {
  std::shared_ptr<const MappedFile> file;
  const std::byte* data = nullptr;
  std::vector<std::int64_t> dims;
  bool fortran_order = false;
};

/// A type as each format calls it.
struct TypeName {
  const char* npy;
  const char* safetensors;
};

/// The tensor called `name`, whose type must be one of `types`, all of this size.
RawTensor read_raw(const std::string& name, std::initializer_list<TypeName> types, std::size_t size,
                   const char* expected) {
  const TensorName parts = split_name(name);
  RawTensor raw;
  raw.file = std::make_shared<const MappedFile>(parts.path);
  const auto check = [&](std::string_view type, const std::string& found, const char* TypeName::*format) {
    if (std::ranges::none_of(types, [&](const TypeName& accepted) { return type == accepted.*format; })) {
      throw Error(ErrorCode::invalid_argument, name + ": holds " + found + ", expected " + expected);
    }
  };
  if (parts.safetensors) {
    const SafetensorsEntry entry = find_safetensors(*raw.file, parts.tensor);
    check(entry.dtype, entry.dtype, &TypeName::safetensors);
    raw.data = raw.file->bytes().data() + entry.begin;
    raw.dims = entry.shape;
    return raw;
  }
  const NpyHeader header = parse_npy_header(raw.file->bytes(), name);
  const std::string found = describe_npy_type(header.descr);
  check(header.descr, found, &TypeName::npy);
  raw.data = npy_elements(*raw.file, header, size, found);
  raw.dims = header.shape;
  raw.fortran_order = header.fortran_order;
  return raw;
}

}  // namespace

StoredBooleans read_booleans(const std::string& name) {
  RawTensor raw = read_raw(name, {{"|b1", "BOOL"}, {"|u1", "U8"}}, 1, "bool or uint8");
  check_rank(name, raw.dims, Role::mask);
  StoredBooleans stored;
  stored.name = name;
  stored.strides = strides_of(raw.dims, raw.fortran_order);
  stored.dims = std::move(raw.dims);
  stored.data = reinterpret_cast<const std::uint8_t*>(raw.data);
  stored.file = std::move(raw.file);
  return stored;
}

ConstBoolView boolean_view(const StoredBooleans& tensor) {
  ConstBoolView view{tensor.data, {1, 1, 1, 1}, {0, 0, 0, 0}};
  const std::size_t missing = 4 - tensor.dims.size();
  for (std::size_t axis = 0; axis < tensor.dims.size(); ++axis) {
    view.shape[missing + axis] = tensor.dims[axis];
    view.strides[missing + axis] = tensor.strides[axis];
  }
  return view;
}

std::vector<std::int64_t> read_offsets(const std::string& name) {
  const RawTensor raw = read_raw(name, {{"<i8", "I64"}}, sizeof(std::int64_t), "int64");
  if (raw.dims.size() != 1) {
    throw Error(ErrorCode::invalid_argument,
                name + ": has shape " + dims_text(raw.dims) + ", expected one dimension of offsets");
  }
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(raw.dims.front()));
  if (!offsets.empty()) std::memcpy(offsets.data(), raw.data, offsets.size() * sizeof(std::int64_t));
  return offsets;
}

}  // namespace polyattn::io
