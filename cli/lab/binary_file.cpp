#include "lab/binary_file.hpp"

#include "io/element.hpp"
#include "io/raw_tensor.hpp"
#include "io/stored_tensor.hpp"
#include "polyattn/error.hpp"

#include <fmt/core.h>
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

constexpr std::array types{
    io::RawType{"|b1", "BOOL", 1}, io::RawType{"|u1", "U8", 1},  io::RawType{"|i1", "I8", 1},
    io::RawType{"<i4", "I32", 4},  io::RawType{"<i8", "I64", 8}, io::RawType{"<f2", "F16", 2},
    io::RawType{"", "BF16", 2},    io::RawType{"<f4", "F32", 4}, io::RawType{"<f8", "F64", 8},
};
/// One element of each.
constexpr std::array<double (*)(const std::byte*), types.size()> read{
    number_at<std::uint8_t>,   number_at<std::uint8_t>,  number_at<std::int8_t>,
    number_at<std::int32_t>,   number_at<std::int64_t>,  float_at<DType::float16>,
    float_at<DType::bfloat16>, float_at<DType::float32>, float_at<DType::float64>,
};

}  // namespace

lab::BitVectors read_binary(const std::string& name) {
  const io::RawTensor raw = io::read_raw(name, types, "bool, int8, uint8, int32, int64 or floating-point numbers");
  const std::vector<std::int64_t>& dims = raw.dims;
  if (dims.size() != 2) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: has shape {}, expected [n, d]", name, io::dims_text(dims)));
  }
  const std::vector<std::int64_t> strides = io::strides_of(dims, raw.fortran_order);
  lab::BitVectors out(dims[0], dims[1]);
  for (std::int64_t i = 0; i < dims[0]; ++i) {
    for (std::int64_t l = 0; l < dims[1]; ++l) {
      const std::int64_t at = i * strides[0] + l * strides[1];
      const double value = read[raw.type](raw.data + at * static_cast<std::int64_t>(types[raw.type].size));
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
