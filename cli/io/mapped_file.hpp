#pragma once

/// A regular file mapped read-only into memory, for as long as the object lives.

#include <cstddef>
#include <span>
#include <string>

namespace polyattn::io {

class MappedFile {
 public:
  /// Throws Error (invalid_argument) naming `path` if it is missing, unreadable, empty or not a regular file.
  explicit MappedFile(std::string path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  MappedFile(MappedFile&&) = delete;
  MappedFile& operator=(MappedFile&&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::string path_;
  std::span<const std::byte> bytes_;
};

}  // namespace polyattn::io
