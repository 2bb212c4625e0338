#include "io/mask_file.hpp"

#include "io/raw_tensor.hpp"
#include "io/stored_tensor.hpp"
#include "polyattn/error.hpp"

#include <array>
#include <cstring>

namespace polyattn::io {

StoredBooleans read_booleans(const std::string& name) {
  constexpr std::array types{RawType{"|b1", "BOOL", 1}, RawType{"|u1", "U8", 1}};
  RawTensor raw = read_raw(name, types, "bool or uint8");
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
  constexpr std::array types{RawType{"<i8", "I64", sizeof(std::int64_t)}};
  const RawTensor raw = read_raw(name, types, "int64");
  if (raw.dims.size() != 1) {
    throw Error(ErrorCode::invalid_argument,
                name + ": has shape " + dims_text(raw.dims) + ", expected one dimension of offsets");
  }
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(raw.dims.front()));
  if (!offsets.empty()) std::memcpy(offsets.data(), raw.data, offsets.size() * sizeof(std::int64_t));
  return offsets;
}

}  // namespace polyattn::io
