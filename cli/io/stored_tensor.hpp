#pragma once

/// A tensor in a file: where its elements are, and the views of it the library computes on.

#include "io/mapped_file.hpp"
#include "polyattn/dtype.hpp"
#include "polyattn/view.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace polyattn::io {

struct StoredTensor {
  std::string name;  ///< as the user wrote it: FILE or FILE:NAME
  std::string path;  ///< the file alone
  DType dtype = DType::float32;
  std::vector<std::int64_t> dims;     ///< 1 to 4 of them, outermost first
  std::vector<std::int64_t> strides;  ///< in elements, one per dim
  bool fortran_order = false;
  std::int64_t elements = 0;
  const void* data = nullptr;  ///< aligned to the element size; into `file` or `copy`
  std::shared_ptr<const MappedFile> file;
  std::shared_ptr<const std::byte[]> copy;  ///< only where the file's elements are not aligned

  [[nodiscard]] std::size_t bytes() const noexcept { return static_cast<std::size_t>(elements) * size_of(dtype); }
};

/// What a tensor is to be used as, which fixes its number of dimensions.
enum class Role : std::uint8_t {
  tensor,  ///< [n, d], [heads, n, d] or [batch, heads, n, d]
  bias,    ///< [n_kv], [heads, n_kv] or [batch, heads, n_kv]
  mask,    ///< [n_kv], [n_q, n_kv], [heads, n_q, n_kv] or [batch, heads, n_q, n_kv]
  any,     ///< 1 to 4 dimensions
};

/// What a header says about a tensor whose elements start at `data`.
struct Layout {
  DType dtype = DType::float32;
  std::vector<std::int64_t> dims;
  bool fortran_order = false;
};

/// The tensor `layout` describes at `data` inside `file`; copied if `data` is not aligned to the element size. Throws
/// Error (invalid_argument) naming `name` if the number of dimensions does not suit `role`.
StoredTensor make_stored(const std::string& name, std::shared_ptr<const MappedFile> file, const std::byte* data,
                         Layout layout, Role role);

/// The number of elements; throws Error (invalid_argument) naming `name` if their bytes do not fit 63 bits.
std::int64_t checked_elements(const std::string& name, std::span<const std::int64_t> dims, std::size_t element_size);

/// Throws Error (invalid_argument) naming `name` if the number of dimensions does not suit `role`.
void check_rank(const std::string& name, std::span<const std::int64_t> dims, Role role);

/// Strides, in elements, of a tensor without gaps.
std::vector<std::int64_t> strides_of(std::span<const std::int64_t> dims, bool fortran_order);

/// "(4, 16, 8)"
std::string dims_text(std::span<const std::int64_t> dims);

/// Dimensions missing in front are 1.
ConstView tensor_view(const StoredTensor& tensor);
/// As the library wants a key bias: [batch, heads, n_kv, 1]; dimensions missing in front are 1 and have stride 0.
ConstView bias_view(const StoredTensor& tensor);

}  // namespace polyattn::io
