#include "io/staged_file.hpp"

#include "polyattn/error.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <system_error>
#include <utility>

namespace polyattn::io {

namespace {

// What a signal handler may touch: lock-free atomics and names in fixed storage.
struct TemporaryName {
  std::atomic<bool> taken{false};   ///< the slot belongs to a StagedFile
  std::atomic<bool> exists{false};  ///< `path` is complete and the file is there
  std::array<char, 4096> path{};
};
static_assert(std::atomic<bool>::is_always_lock_free);
std::array<TemporaryName, 8> temporaries;

int take_slot() noexcept {
  for (std::size_t slot = 0; slot < temporaries.size(); ++slot) {
    bool free = false;
    if (temporaries[slot].taken.compare_exchange_strong(free, true)) return static_cast<int>(slot);
  }
  return -1;
}

void remember(int slot, const std::string& path) noexcept {
  if (slot < 0) return;
  TemporaryName& name = temporaries[static_cast<std::size_t>(slot)];
  if (path.size() + 1 > name.path.size()) return;
  std::memcpy(name.path.data(), path.c_str(), path.size() + 1);
  name.exists = true;
}

void forget(int slot) noexcept {
  if (slot < 0) return;
  temporaries[static_cast<std::size_t>(slot)].exists = false;
}

/// Where a file written to `path` ends up: symbolic links that lead to something are followed.
std::string resolve(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  return real ? std::string(real.get()) : path;
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

mode_t permissions_for(const std::string& destination) noexcept {
  struct stat status {};
  if (::stat(destination.c_str(), &status) == 0) return status.st_mode & 0777;
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return 0666 & ~mask;
}

std::string message(int error) { return std::generic_category().message(error); }

}  // namespace

StagedFile::StagedFile(std::string path)
    : path_(std::move(path)), destination_(resolve(path_)), temporary_(destination_ + ".XXXXXX"), slot_(take_slot()) {
  const int descriptor = ::mkostemp(temporary_.data(), O_CLOEXEC);
  if (descriptor < 0) {
    const int error = errno;
    if (slot_ >= 0) temporaries[static_cast<std::size_t>(slot_)].taken = false;
    fail("cannot be created", error);
  }
  remember(slot_, temporary_);
  file_.reset(descriptor);
  // mkostemp makes the file private; a result gets what any new file would get. Where that is refused, private it
  // stays.
  static_cast<void>(::fchmod(descriptor, permissions_for(destination_)));
}

StagedFile::~StagedFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  forget(slot_);
  if (slot_ >= 0) temporaries[static_cast<std::size_t>(slot_)].taken = false;
}

void StagedFile::fail(const char* what, int error) const {
  throw WriteError(path_ + ": " + what + ": " + message(error));
}

void StagedFile::write(std::span<const std::byte> bytes, const KeepGoing& keep_going) {
  constexpr std::size_t chunk = std::size_t{8} << 20;  // short enough to notice an interrupt at once
  while (!bytes.empty()) {
    if (keep_going && !keep_going()) throw Error(ErrorCode::cancelled, path_ + ": interrupted while writing");
    const ssize_t written = ::write(file_.get(), bytes.data(), std::min(bytes.size(), chunk));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("cannot be written", errno);
    if (written == 0) fail("cannot be written", ENOSPC);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void StagedFile::finish() {
  while (::fsync(file_.get()) != 0) {
    // Some file systems cannot promise anything about the disk; that is no reason to throw the result away.
    if (errno == EINVAL || errno == ENOTSUP || errno == ENOSYS) break;
    if (errno != EINTR) fail("cannot be put on disk", errno);
  }
  if (::close(file_.release()) != 0 && errno != EINTR) fail("cannot be closed", errno);
}

void StagedFile::commit() {
  if (std::rename(temporary_.c_str(), destination_.c_str()) != 0) fail("cannot be renamed to its name", errno);
  forget(slot_);
  temporary_.clear();
}

void remove_temporary_files() noexcept {
  for (TemporaryName& name : temporaries) {
    if (name.exists) ::unlink(name.path.data());
  }
}

void check_outputs(const std::vector<std::string>& outputs, const std::vector<std::string>& inputs) {
  const auto refuse = [](const std::string& path, const std::string& what) {
    throw Error(ErrorCode::invalid_argument, path + ": " + what);
  };
  std::vector<std::pair<std::string, std::string>> destinations;  // resolved directory and name; as given
  for (const std::string& path : outputs) {
    if (path.empty()) refuse("(empty name)", "cannot be written: a file name is needed");
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0) {
      if (S_ISDIR(status.st_mode)) refuse(path, "cannot be written: it is a directory");
      if (!S_ISREG(status.st_mode)) refuse(path, "cannot be written: it exists and is not a regular file");
      for (const std::string& input : inputs) {
        struct stat other {};
        if (::stat(input.c_str(), &other) == 0 && other.st_dev == status.st_dev && other.st_ino == status.st_ino) {
          refuse(path, "would overwrite the input " + input);
        }
      }
    } else if (path.back() == '/') {
      refuse(path, "cannot be written: it names a directory");
    }
    const std::string resolved = resolve(path);
    const std::string directory = directory_of(resolved);
    if (::stat(directory.c_str(), &status) != 0) {
      refuse(path, "cannot be written: directory " + directory + ": " + message(errno));
    }
    if (!S_ISDIR(status.st_mode)) refuse(path, "cannot be written: " + directory + " is not a directory");
    if (::access(directory.c_str(), W_OK | X_OK) != 0) {
      refuse(path, "cannot be written: directory " + directory + ": " + message(errno));
    }
    const std::string destination = resolve(directory) + "/" + resolved.substr(resolved.rfind('/') + 1);
    for (const auto& [taken, given] : destinations) {
      if (taken == destination) refuse(path, "is named twice as an output (" + given + " and " + path + ")");
    }
    destinations.emplace_back(destination, path);
  }
}

}  // namespace polyattn::io
