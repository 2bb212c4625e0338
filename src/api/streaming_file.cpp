#include "api/streaming_file.hpp"

#include "base/error.hpp"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <system_error>

namespace polyattn::api {

namespace {

struct CloseFile {
  void operator()(std::FILE* file) const noexcept { static_cast<void>(std::fclose(file)); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

std::string reason(int error) { return std::generic_category().message(error); }

/// A name that no other writer uses.
std::string temporary_name(const std::string& path) {
  std::random_device device;
  const std::uint64_t number = (static_cast<std::uint64_t>(device()) << 32U) | device();
  return path + "." + std::to_string(number) + ".tmp";
}

}  // namespace

std::vector<std::byte> read_file(const std::string& path) {
  const auto refuse = [&](const std::string& got) {
    base::fail(ErrorCode::invalid_argument, path, "a file that can be read", got);
  };
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) {
    refuse(error.message());
  }
  const File file(std::fopen(path.c_str(), "rb"));
  if (file == nullptr) {
    refuse(reason(errno));
  }
  std::vector<std::byte> bytes(size);
  if (std::fread(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) {
    refuse("a shorter one than its size says");
  }
  return bytes;
}

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  const std::string temporary = temporary_name(path);
  const auto refuse = [&](const std::string& got) {
    static_cast<void>(std::remove(temporary.c_str()));
    base::fail(ErrorCode::invalid_argument, path, "a file that can be written", got);
  };
  File file(std::fopen(temporary.c_str(), "wbx"));  // x: never the file of somebody else
  if (file == nullptr) {
    base::fail(ErrorCode::invalid_argument, path, "a file that can be written", reason(errno));
  }
  if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size() || std::fflush(file.get()) != 0) {
    refuse(reason(errno));
  }
  if (std::fclose(file.release()) != 0) {
    refuse(reason(errno));
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    refuse(reason(errno));
  }
}

}  // namespace polyattn::api
