#include "cli/support/files.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <regex>
#include <stdexcept>

namespace polyattn::test {

namespace {

std::string little_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int k = 0; k < bytes; ++k, value /= 256) text += static_cast<char>(value % 256);
  return text;
}

template <class T>
std::vector<T> elements_of(const std::string& bytes) {
  std::vector<T> elements(bytes.size() / sizeof(T));
  if (!elements.empty()) std::memcpy(elements.data(), bytes.data(), elements.size() * sizeof(T));
  return elements;
}

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "polyattn-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryDirectory::put(const std::string& name, const std::string& bytes) const {
  std::ofstream stream(path_ / name, std::ios::binary);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!stream.flush()) throw std::runtime_error("cannot write " + name);
  return file(name);
}

std::string TemporaryDirectory::get(const std::string& name) const {
  std::ifstream stream(path_ / name, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + name);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

std::vector<std::string> TemporaryDirectory::list() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path_)) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

std::string npy_bytes(const std::string& header, const std::string& data, int major, int minor) {
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(major);
  bytes += static_cast<char>(minor);
  return bytes + little_endian(header.size(), major == 1 ? 2 : 4) + header + data;
}

std::string npy_dict(const std::string& descr, const std::string& shape, bool fortran_order) {
  std::string header = "{'descr': '" + descr + "', 'fortran_order': " + (fortran_order ? "True" : "False") +
                       ", 'shape': " + shape + ", }";
  header.append((64 - (10 + header.size() + 1) % 64) % 64, ' ');
  return header + "\n";
}

std::pair<std::string, std::vector<double>> parse_npy(const std::string& bytes) {
  if (bytes.size() < 10 || bytes.substr(0, 8) != std::string("\x93NUMPY\x01\x00", 8))
    throw std::runtime_error("not .npy");
  const auto low = static_cast<unsigned char>(bytes[8]);
  const auto high = static_cast<unsigned char>(bytes[9]);
  const std::size_t length = low + std::size_t{256} * high;
  if ((10 + length) % 64 != 0 || bytes.size() < 10 + length) throw std::runtime_error("the header is not padded to 64");
  const std::string header = bytes.substr(10, length);
  const std::regex pattern(R"(\{'descr': '<f([248])', 'fortran_order': False, 'shape': (\([0-9, ]*\)), \} *\n)");
  std::smatch match;
  if (!std::regex_match(header, match, pattern)) throw std::runtime_error("unexpected header: " + header);
  const std::string data = bytes.substr(10 + length);
  std::vector<double> values;
  if (match[1] == "8") {
    values = elements_of<double>(data);
  } else if (match[1] == "4") {
    for (const float value : elements_of<float>(data)) values.push_back(static_cast<double>(value));
  } else {
    for (const std::uint16_t value : elements_of<std::uint16_t>(data)) values.push_back(float16_double(value));
  }
  return {match[2], values};
}

std::string safetensors_bytes(const std::string& header, const std::string& data) {
  return little_endian(header.size(), 8) + header + data;
}

double float16_double(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  if (exponent == 31) return std::numeric_limits<double>::quiet_NaN();
  const double magnitude =
      exponent == 0 ? (bits & 1023) * 0x1p-24 : (1024 + (bits & 1023)) * std::pow(2.0, exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

std::uint16_t float16_bits(double value) {
  for (int bits = 0; bits < 65536; ++bits) {
    const auto candidate = static_cast<std::uint16_t>(bits);
    if (float16_double(candidate) == value && std::signbit(float16_double(candidate)) == std::signbit(value)) {
      return candidate;
    }
  }
  throw std::runtime_error("not a float16: " + std::to_string(value));
}

std::uint16_t bfloat16_bits(double value) {
  const auto single = static_cast<float>(value);
  const auto bits = std::bit_cast<std::uint32_t>(single);
  if (static_cast<double>(single) != value || (bits & 0xffff) != 0) {
    throw std::runtime_error("not a bfloat16: " + std::to_string(value));
  }
  return static_cast<std::uint16_t>(bits >> 16);
}

}  // namespace polyattn::test
