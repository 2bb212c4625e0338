#pragma once

/// Files that appear whole or not at all: written under a temporary name beside their destination, put on disk, and
/// renamed. A staged file that is not committed is removed when the object goes.

#include "io/descriptor.hpp"

#include <cstddef>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace polyattn::io {

/// Returning false abandons the work: Error (cancelled).
using KeepGoing = std::function<bool()>;

/// The result could not be written: disk full, a limit, the directory gone.
struct WriteError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class StagedFile {
 public:
  /// Creates the temporary file. A symbolic link at `path` is followed; a file it replaces lends it its permissions.
  explicit StagedFile(std::string path);
  ~StagedFile();
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;
  StagedFile(StagedFile&&) = delete;
  StagedFile& operator=(StagedFile&&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  void write(std::span<const std::byte> bytes, const KeepGoing& keep_going = {});
  /// Everything written is on disk and the file is closed. Nothing may be written afterwards.
  void finish();
  /// Gives the file its name. Needs `finish`.
  void commit();

 private:
  [[noreturn]] void fail(const char* what, int error) const;

  std::string path_;         ///< as given
  std::string destination_;  ///< links resolved
  std::string temporary_;
  Descriptor file_;
  int slot_ = -1;  ///< in the list of files to remove on a signal
};

/// Unlinks every temporary file there is. May be called from a signal handler that ends the process.
void remove_temporary_files() noexcept;

/// Checks, before anything is computed, that each of `outputs` can be written: its directory exists and is writable, it
/// is not itself a directory or device, and it is neither one of `inputs` nor another output. Throws Error
/// (invalid_argument).
void check_outputs(const std::vector<std::string>& outputs, const std::vector<std::string>& inputs);

}  // namespace polyattn::io
