#include "io/mapped_file.hpp"

#include "io/descriptor.hpp"
#include "polyattn/error.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <cerrno>
#include <limits>
#include <system_error>
#include <utility>

namespace polyattn::io {

namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& what, int error = 0) {
  const std::string reason = error == 0 ? "" : ": " + std::generic_category().message(error);
  throw Error(error == ENOMEM ? ErrorCode::out_of_memory : ErrorCode::invalid_argument, path + ": " + what + reason);
}

}  // namespace

MappedFile::MappedFile(std::string path) : path_(std::move(path)) {
  // Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it.
  const Descriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid()) refuse(path_, "cannot be opened", errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) refuse(path_, "cannot be examined", errno);
  if (S_ISDIR(status.st_mode)) refuse(path_, "is a directory, expected a file");
  if (!S_ISREG(status.st_mode)) refuse(path_, "is not a regular file, so it cannot be mapped into memory");
  if (status.st_size == 0) refuse(path_, "is empty (0 bytes)");
  if (std::cmp_greater(status.st_size, std::numeric_limits<std::ptrdiff_t>::max())) {
    refuse(path_, "is too large to be mapped into memory");
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) refuse(path_, "cannot be mapped into memory", errno);
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::~MappedFile() { ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size()); }

}  // namespace polyattn::io
