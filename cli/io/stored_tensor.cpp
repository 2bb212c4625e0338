#include "io/stored_tensor.hpp"

#include "polyattn/error.hpp"

#include <cstring>
#include <limits>
#include <new>
#include <numeric>
#include <utility>

namespace polyattn::io {

// Both formats store little-endian numbers, which are used where they lie.
static_assert(std::endian::native == std::endian::little, "files are mapped, not converted");

void check_rank(const std::string& name, std::span<const std::int64_t> dims, Role role) {
  const std::size_t rank = dims.size();
  const char* expected = nullptr;
  switch (role) {
    case Role::tensor:
      if (rank < 2 || rank > 4) expected = "[n, d], [heads, n, d] or [batch, heads, n, d]";
      break;
    case Role::bias:
      if (rank < 1 || rank > 3) expected = "[n_kv], [heads, n_kv] or [batch, heads, n_kv]";
      break;
    case Role::mask:
      if (rank < 1 || rank > 4) expected = "[n_kv], [n_q, n_kv], [heads, n_q, n_kv] or [batch, heads, n_q, n_kv]";
      break;
    case Role::any:
      if (rank < 1 || rank > 4) expected = "1 to 4 dimensions";
      break;
  }
  if (expected != nullptr) {
    throw Error(ErrorCode::invalid_argument, name + ": has shape " + dims_text(dims) + " (" + std::to_string(rank) +
                                                 " dimensions), expected " + expected);
  }
}

std::vector<std::int64_t> strides_of(std::span<const std::int64_t> dims, bool fortran_order) {
  std::vector<std::int64_t> strides(dims.size(), 1);
  std::int64_t stride = 1;
  for (std::size_t step = 0; step < dims.size(); ++step) {
    const std::size_t axis = fortran_order ? step : dims.size() - 1 - step;
    strides[axis] = stride;
    stride *= dims[axis] == 0 ? 1 : dims[axis];  // no overflow: checked_elements skipped zeros too
  }
  return strides;
}

std::string dims_text(std::span<const std::int64_t> dims) {
  std::string text = "(";
  for (std::size_t axis = 0; axis < dims.size(); ++axis) text += (axis == 0 ? "" : ", ") + std::to_string(dims[axis]);
  return text + (dims.size() == 1 ? ",)" : ")");
}

std::int64_t checked_elements(const std::string& name, std::span<const std::int64_t> dims, std::size_t element_size) {
  std::int64_t bytes = static_cast<std::int64_t>(element_size);
  for (const std::int64_t dim : dims) {
    // Zeros are skipped so that the strides of an empty tensor cannot overflow either.
    if (dim != 0 && __builtin_mul_overflow(bytes, dim, &bytes)) {
      throw Error(ErrorCode::invalid_argument,
                  name + ": shape " + dims_text(dims) + " is impossible: its size in bytes does not fit 63 bits");
    }
  }
  return std::accumulate(dims.begin(), dims.end(), std::int64_t{1}, [](auto a, auto b) { return a * b; });
}

StoredTensor make_stored(const std::string& name, std::shared_ptr<const MappedFile> file, const std::byte* data,
                         Layout layout, Role role) {
  check_rank(name, layout.dims, role);
  StoredTensor tensor;
  tensor.name = name;
  tensor.path = file->path();
  tensor.dtype = layout.dtype;
  tensor.elements = checked_elements(name, layout.dims, size_of(layout.dtype));
  tensor.strides = strides_of(layout.dims, layout.fortran_order);
  tensor.dims = std::move(layout.dims);
  tensor.fortran_order = layout.fortran_order;
  tensor.data = data;
  if (reinterpret_cast<std::uintptr_t>(data) % size_of(tensor.dtype) != 0 && tensor.elements > 0) {
    try {
      const std::shared_ptr<std::byte[]> copy(new std::byte[tensor.bytes()]);
      std::memcpy(copy.get(), data, tensor.bytes());
      tensor.copy = copy;
    } catch (const std::bad_alloc&) {
      throw Error(ErrorCode::out_of_memory, name +
                                                ": its elements are not aligned in the file, and there is no memory "
                                                "for a copy of " +
                                                std::to_string(tensor.bytes()) + " bytes");
    }
    tensor.data = tensor.copy.get();
  }
  tensor.file = std::move(file);
  return tensor;
}

ConstView tensor_view(const StoredTensor& tensor) {
  ConstView view{tensor.data, tensor.dtype, {1, 1, 1, 1}, {0, 0, 0, 0}};
  const std::size_t missing = 4 - tensor.dims.size();
  for (std::size_t axis = 0; axis < tensor.dims.size(); ++axis) {
    view.shape[missing + axis] = tensor.dims[axis];
    view.strides[missing + axis] = tensor.strides[axis];
  }
  return view;
}

ConstView bias_view(const StoredTensor& tensor) {
  ConstView view{tensor.data, tensor.dtype, {1, 1, 1, 1}, {0, 0, 0, 1}};
  const std::size_t missing = 3 - tensor.dims.size();
  for (std::size_t axis = 0; axis < tensor.dims.size(); ++axis) {
    view.shape[missing + axis] = tensor.dims[axis];
    view.strides[missing + axis] = tensor.strides[axis];
  }
  return view;
}

}  // namespace polyattn::io
