#include "io/npy.hpp"

#include "polyattn/error.hpp"

#include <string_view>

namespace polyattn::io {

namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& what) {
  throw Error(ErrorCode::invalid_argument, name + ": " + what);
}

DType dtype_from(const std::string& descr, const std::string& name) {
  if (descr == "<f2") return DType::float16;
  if (descr == "<f4") return DType::float32;
  if (descr == "<f8") return DType::float64;
  refuse(name, "holds " + describe_npy_type(descr) +
                   ", expected little-endian float16, float32 or float64 ('<f2', '<f4' or '<f8')");
}

std::string header_of(const char* descr, std::span<const std::int64_t> dims) {
  std::string dict =
      std::string("{'descr': '") + descr + "', 'fortran_order': False, 'shape': " + dims_text(dims) + ", }";
  constexpr std::size_t prefix = 10;  // magic, version and a length of two bytes, far more than four dimensions need
  const std::size_t padded = (prefix + dict.size() + 1 + 63) / 64 * 64;
  dict.append(padded - prefix - dict.size() - 1, ' ');
  dict += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(dict.size() % 256);
  header += static_cast<char>(dict.size() / 256);
  return header + dict;
}

}  // namespace

std::string describe_npy_type(std::string_view descr) {
  const std::string quoted = "'" + std::string(descr) + "'";
  if (descr.size() < 2) return "unknown type " + quoted;
  const std::string bits = [&] {
    int bytes = 0;
    for (const char c : descr.substr(2)) {
      if (c < '0' || c > '9' || bytes > 1000) return std::string();
      bytes = 10 * bytes + (c - '0');
    }
    return std::to_string(8 * bytes);
  }();
  switch (descr[1]) {
    case 'f':
      return std::string(descr[0] == '>' ? "big-endian float" : "float") + bits + " (" + quoted + ")";
    case 'b':
      return "bool (" + quoted + ")";
    case 'i':
      return "int" + bits + " (" + quoted + ")";
    case 'u':
      return "uint" + bits + " (" + quoted + ")";
    case 'c':
      return "complex" + bits + " (" + quoted + ")";
    case 'O':
      return "Python objects (" + quoted + ")";
    case 'S':
    case 'U':
      return "strings (" + quoted + ")";
    case 'V':
      return "raw bytes (" + quoted + "; bfloat16 has no .npy type, keep it in .safetensors)";
    default:
      return "unknown type " + quoted;
  }
}

const std::byte* npy_elements(const MappedFile& file, const NpyHeader& header, std::size_t element_size,
                              const std::string& type) {
  const std::string& name = file.path();
  const std::int64_t elements = checked_elements(name, header.shape, element_size);
  const std::size_t expected = static_cast<std::size_t>(elements) * element_size;
  const std::size_t found = file.bytes().size() - header.data_offset;
  if (found != expected) {
    refuse(name, std::string(found < expected ? "truncated" : "longer than its header says") + ": shape " +
                     dims_text(header.shape) + " of " + type + " needs " + std::to_string(expected) +
                     " bytes after the header, found " + std::to_string(found));
  }
  return file.bytes().data() + header.data_offset;
}

StoredTensor read_npy(const std::shared_ptr<const MappedFile>& file, Role role) {
  const std::string& name = file->path();
  const NpyHeader header = parse_npy_header(file->bytes(), name);
  const DType dtype = dtype_from(header.descr, name);
  const std::byte* data = npy_elements(*file, header, size_of(dtype), name_of(dtype));
  return make_stored(name, file, data, {dtype, header.shape, header.fortran_order}, role);
}

std::string npy_header(DType dtype, std::span<const std::int64_t> dims) {
  switch (dtype) {
    case DType::float16:
      return header_of("<f2", dims);
    case DType::float32:
      return header_of("<f4", dims);
    case DType::float64:
      return header_of("<f8", dims);
    case DType::bfloat16:
      break;
  }
  throw Error(ErrorCode::invalid_argument, "bfloat16 cannot be written: .npy has no such type; use float16 or float32");
}

void write_npy(StagedFile& file, DType dtype, std::span<const std::int64_t> dims, const void* data,
               const KeepGoing& keep_going) {
  const std::string header = npy_header(dtype, dims);
  const std::int64_t elements = checked_elements(file.path(), dims, size_of(dtype));
  file.write(std::as_bytes(std::span(header)), keep_going);
  file.write({static_cast<const std::byte*>(data), static_cast<std::size_t>(elements) * size_of(dtype)}, keep_going);
}

void write_npy(StagedFile& file, std::span<const std::int64_t> values, const KeepGoing& keep_going) {
  const auto count = static_cast<std::int64_t>(values.size());
  const std::string header = header_of("<i8", std::span(&count, 1));
  file.write(std::as_bytes(std::span(header)), keep_going);
  file.write(std::as_bytes(values), keep_going);
}

}  // namespace polyattn::io
