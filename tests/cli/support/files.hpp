#pragma once

/// Files for tests, built byte by byte, independently of the program's own writers.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace polyattn::test {

/// An empty directory that is removed with all it holds.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  TemporaryDirectory(TemporaryDirectory&&) = delete;
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;

  [[nodiscard]] std::string path() const { return path_.string(); }
  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }
  /// Writes `bytes` to the file `name` and returns its path.
  std::string put(const std::string& name, const std::string& bytes) const;
  [[nodiscard]] std::string get(const std::string& name) const;
  /// Names of everything in the directory, sorted.
  [[nodiscard]] std::vector<std::string> list() const;

 private:
  std::filesystem::path path_;
};

/// The elements as they lie in memory.
template <class T>
std::string raw(const std::vector<T>& elements) {
  std::string bytes(elements.size() * sizeof(T), '\0');
  if (!elements.empty()) std::memcpy(bytes.data(), elements.data(), bytes.size());
  return bytes;
}

/// A .npy file: magic, version, length of `header`, `header`, `data`. Nothing is checked or padded.
std::string npy_bytes(const std::string& header, const std::string& data, int major = 1, int minor = 0);
/// The usual header: "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" and a newline.
std::string npy_dict(const std::string& descr, const std::string& shape, bool fortran_order = false);
template <class T>
std::string npy_file(const std::string& shape, const std::vector<T>& elements, bool fortran_order = false) {
  return npy_bytes(npy_dict(sizeof(T) == 8   ? "<f8"
                            : sizeof(T) == 4 ? "<f4"
                                             : "<f2",
                            shape, fortran_order),
                   raw(elements));
}
/// The elements of a .npy file of doubles, floats or halves as double; the shape as text, e.g. "(2, 3)".
std::pair<std::string, std::vector<double>> parse_npy(const std::string& bytes);

/// A .safetensors file: length of `header`, `header`, `data`.
std::string safetensors_bytes(const std::string& header, const std::string& data);

/// The nearest float16 or bfloat16 of numbers that are exactly representable; anything else fails the test.
std::uint16_t float16_bits(double value);
std::uint16_t bfloat16_bits(double value);
double float16_double(std::uint16_t bits);

}  // namespace polyattn::test
