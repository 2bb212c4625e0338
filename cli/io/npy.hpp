#pragma once

/// NumPy's .npy format, versions 1.0, 2.0 and 3.0:
///
///     "\x93NUMPY" major minor | header length (2 bytes in version 1, else 4, little-endian) | header | elements
///
/// The header is a Python dict literal with exactly the keys descr, fortran_order and shape. Source: NumPy Enhancement
/// Proposal 1 and the documentation of numpy.lib.format.

#include "io/mapped_file.hpp"
#include "io/staged_file.hpp"
#include "io/stored_tensor.hpp"
#include "polyattn/dtype.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace polyattn::io {

struct NpyHeader {
  std::string descr;  ///< e.g. "<f4"
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
  std::size_t data_offset = 0;
};

/// Reads the header of the file contents `bytes`; `name` is for messages. Throws Error (invalid_argument).
NpyHeader parse_npy_header(std::span<const std::byte> bytes, const std::string& name);

/// What a type string such as ">f4" or "|b1" means, for messages.
std::string describe_npy_type(std::string_view descr);

/// Where the elements lie; throws Error (invalid_argument) unless the file holds exactly as many as the header says.
/// `type` is for the message.
const std::byte* npy_elements(const MappedFile& file, const NpyHeader& header, std::size_t element_size,
                              const std::string& type);

/// The tensor in `file`; little-endian float16, float32 or float64 only. Throws Error (invalid_argument).
StoredTensor read_npy(const std::shared_ptr<const MappedFile>& file, Role role);

/// The header (version 1.0) of a C-ordered file of `dims` elements, padded so that the elements start at a multiple
/// of 64. Throws Error (invalid_argument) for bfloat16, for which .npy has no type.
std::string npy_header(DType dtype, std::span<const std::int64_t> dims);

/// Writes a C-ordered .npy file with the contiguous elements at `data`.
void write_npy(StagedFile& file, DType dtype, std::span<const std::int64_t> dims, const void* data,
               const KeepGoing& keep_going = {});
/// Writes int64 of one dimension.
void write_npy(StagedFile& file, std::span<const std::int64_t> values, const KeepGoing& keep_going = {});

}  // namespace polyattn::io
