#include "lab/binary_file.hpp"

#include "io/element.hpp"
#include "io/mapped_file.hpp"
#include "io/npy.hpp"
#include "io/safetensors.hpp"
#include "io/stored_tensor.hpp"
#include "io/tensor_file.hpp"
#include "polyattn/error.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

namespace polyattn::cli {

namespace {

template <class T>
double number_at(const std::byte* place) {
  T value;
  std::memcpy(&value, place, sizeof value);
  return static_cast<double>(value);
}

template <DType Type>
double float_at(const std::byte* place) {
  return io::element(place, Type, 0);
}

/// A type of elements, as each format calls it.
struct Kind {
  const char* npy;
  const char* safetensors;
  std::size_t size;
  double (*read)(const std::byte*);
};

constexpr std::array kinds{
    Kind{"|b1", "BOOL", 1, number_at<std::uint8_t>}, Kind{"|u1", "U8", 1, number_at<std::uint8_t>},
    Kind{"|i1", "I8", 1, number_at<std::int8_t>},    Kind{"<i4", "I32", 4, number_at<std::int32_t>},
    Kind{"<i8", "I64", 8, number_at<std::int64_t>},  Kind{"<f2", "F16", 2, float_at<DType::float16>},
    Kind{"", "BF16", 2, float_at<DType::bfloat16>},  Kind{"<f4", "F32", 4, float_at<DType::float32>},
    Kind{"<f8", "F64", 8, float_at<DType::float64>},
};

const Kind& kind_of(const std::string& name, const std::string& type, const std::string& found,
                    const char* Kind::*format) {
  const auto kind = std::ranges::find_if(kinds, [&](const Kind& k) { return type == k.*format; });
  if (kind != kinds.end()) return *kind;
  throw Error(ErrorCode::invalid_argument,
              name + ": holds " + found + ", expected bool, int8, uint8, int32, int64 or floating-point numbers");
}

}  // namespace

lab::BitVectors read_binary(const std::string& name) {
  const io::TensorName parts = io::split_name(name);
  const io::MappedFile file(parts.path);
  const Kind* kind = nullptr;
  const std::byte* data = nullptr;
  std::vector<std::int64_t> dims;
  bool fortran_order = false;
  if (parts.safetensors) {
    const io::SafetensorsEntry entry = io::find_safetensors(file, parts.tensor);
    kind = &kind_of(name, entry.dtype, entry.dtype, &Kind::safetensors);
    data = file.bytes().data() + entry.begin;
    dims = entry.shape;
  } else {
    const io::NpyHeader header = io::parse_npy_header(file.bytes(), name);
    const std::string found = io::describe_npy_type(header.descr);
    kind = &kind_of(name, header.descr, found, &Kind::npy);
    data = io::npy_elements(file, header, kind->size, found);
    dims = header.shape;
    fortran_order = header.fortran_order;
  }
  if (dims.size() != 2) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: has shape {}, expected [n, d]", name, io::dims_text(dims)));
  }
  const std::vector<std::int64_t> strides = io::strides_of(dims, fortran_order);
  lab::BitVectors out(dims[0], dims[1]);
  for (std::int64_t i = 0; i < dims[0]; ++i) {
    for (std::int64_t l = 0; l < dims[1]; ++l) {
      const std::int64_t at = i * strides[0] + l * strides[1];
      const double value = kind->read(data + at * static_cast<std::int64_t>(kind->size));
      if (value != 0.0 && value != 1.0) {
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("{}: entry [{}, {}] is {}, expected 0 or 1", name, i, l, value));
      }
      if (value == 1.0) out.set(i, l, true);
    }
  }
  return out;
}

std::vector<lab::BitVectors> read_binaries(const std::vector<std::string>& names) {
  std::vector<lab::BitVectors> sets;
  for (const std::string& name : names) {
    sets.push_back(read_binary(name));
    const std::int64_t dimension = sets.back().dimension();
    if (dimension != sets.front().dimension()) {
      throw Error(ErrorCode::invalid_argument, fmt::format("{}: vectors have {} bits, expected {} as in {}", name,
                                                           dimension, sets.front().dimension(), names.front()));
    }
  }
  return sets;
}

}  // namespace polyattn::cli
