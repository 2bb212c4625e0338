#pragma once

/// Programs kept running beside us that answer line by line, and the files that go between.

#include <sys/types.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace polyattn::bench::peers {

/// A program whose standard input and output are ours, a line at a time.
class Conversation {
 public:
  explicit Conversation(std::vector<std::string> command);
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;
  ~Conversation();

  void say(const std::string& line);
  /// The next line; empty at the end.
  std::string hear();

 private:
  struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, CloseFile>;

  pid_t child_ = 0;
  File to_;
  File from_;
};

/// A folder for tensors that is gone with us.
class Scratch {
 public:
  explicit Scratch(const std::string& name);
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }

 private:
  std::filesystem::path folder_;
};

/// A peer in Python that has said "ready VERSION", or why there is none.
struct Introduction {
  std::unique_ptr<Conversation> conversation;
  std::string version;
  std::string why_not;
};

/// Starts `script`, a path from the top of the tree, with one argument under $POLYATTN_PEER_PYTHON or python3.
Introduction start_python(const std::string& script, const std::string& argument);

/// Asks and hears; throws std::runtime_error where `name` has ended or answers "error WHY".
std::string ask(Conversation& conversation, const std::string& name, const std::string& question);

/// Throws std::runtime_error if the file cannot be written.
void write_bytes(const std::filesystem::path& path, const void* bytes, std::size_t size);

}  // namespace polyattn::bench::peers
