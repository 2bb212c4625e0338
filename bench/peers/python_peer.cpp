// A library that Python can import, kept running beside us: bench/peers/peer.py answers line by line, and measures time
// on its own side of the pipe.

#include "peers/peer.hpp"
#include "support/process.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace polyattn::bench::peers {

namespace {

namespace fs = std::filesystem;

constexpr const char* kScript = "bench/peers/peer.py";

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

/// A program whose standard input and output are ours, a line at a time.
class Conversation {
 public:
  explicit Conversation(std::vector<std::string> command) {
    std::array<int, 2> to{-1, -1};
    std::array<int, 2> from{-1, -1};
    if (pipe2(to.data(), O_CLOEXEC) != 0 || pipe2(from.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    std::vector<char*> argv;
    argv.reserve(command.size() + 1);
    for (std::string& word : command) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    const int failure = posix_spawnp(&child_, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    to_.reset(fdopen(to[1], "w"));
    from_.reset(fdopen(from[0], "r"));
    if (failure != 0) throw std::runtime_error(command.front() + " cannot be started");
    std::signal(SIGPIPE, SIG_IGN);  // a child that died shows as an answer that does not come
  }
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;
  ~Conversation() {
    to_.reset();  // the end of its input is the end of the program
    from_.reset();
    if (child_ > 0) waitpid(child_, nullptr, 0);
  }

  void say(const std::string& line) {
    std::fputs((line + "\n").c_str(), to_.get());
    std::fflush(to_.get());
  }
  /// The next line; empty at the end.
  std::string hear() {
    std::string line;
    for (int c = std::fgetc(from_.get()); c != EOF && c != '\n'; c = std::fgetc(from_.get())) {
      line.push_back(static_cast<char>(c));
    }
    return line;
  }

 private:
  pid_t child_ = 0;
  File to_;
  File from_;
};

/// A folder for tensors that is gone with us.
class Scratch {
 public:
  explicit Scratch(const std::string& name)
      : folder_(fs::temp_directory_path() / ("polyattn-peer-" + name + "-" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  [[nodiscard]] const fs::path& folder() const noexcept { return folder_; }

 private:
  fs::path folder_;
};

void write_floats(const fs::path& path, const std::vector<float>& numbers) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(numbers.data()),
             static_cast<std::streamsize>(numbers.size() * sizeof(float)));
  file.flush();
  if (!file) throw std::runtime_error(path.string() + ": cannot be written");
}

class PythonPeer : public Peer {
 public:
  PythonPeer(std::string name, std::string version, std::unique_ptr<Conversation> conversation)
      : name_(std::move(name)), version_(std::move(version)), conversation_(std::move(conversation)), scratch_(name_) {}

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] std::string version() const override { return version_; }

  void prepare(const Cell& cell, const Tensors& tensors) override {
    write_floats(scratch_.folder() / "q", tensors.q);
    write_floats(scratch_.folder() / "k", tensors.k);
    write_floats(scratch_.folder() / "v", tensors.v);
    size_ = tensors.q.size();
    ask(std::string("prepare ") + name_of(cell.kind) + " " + std::to_string(cell.heads) + " " + std::to_string(cell.n) +
        " " + std::to_string(cell.d) + " " + scratch_.folder().string());
  }

  double run() override { return std::stod(ask("run")); }
  double memory() override { return std::stod(ask("memory")); }

  std::vector<float> output() override {
    ask("output");
    const std::string bytes = read_text(scratch_.folder() / "output");
    if (bytes.size() != size_ * sizeof(float)) throw std::runtime_error(name_ + ": an answer of the wrong size");
    std::vector<float> numbers(size_);
    bytes.copy(reinterpret_cast<char*>(numbers.data()), bytes.size());
    return numbers;
  }

 private:
  std::string ask(const std::string& question) {
    conversation_->say(question);
    std::string answer = conversation_->hear();
    if (answer.empty()) throw std::runtime_error(name_ + " has ended");
    if (answer.starts_with("error ")) throw std::runtime_error(name_ + ": " + answer.substr(6));
    return answer;
  }

  std::string name_;
  std::string version_;
  std::unique_ptr<Conversation> conversation_;
  Scratch scratch_;
  std::size_t size_ = 0;
};

}  // namespace

Found find_python_peer(const std::string& library) {
  Found found{library, nullptr, {}};
  if (!fs::exists(kScript)) {
    found.why_not = std::string(kScript) + " is missing (run from the top)";
    return found;
  }
  const char* chosen = std::getenv("POLYATTN_PEER_PYTHON");
  const std::string python = chosen != nullptr && *chosen != '\0' ? chosen : "python3";
  try {
    auto conversation = std::make_unique<Conversation>(std::vector<std::string>{python, kScript, library});
    const std::string answer = conversation->hear();
    if (answer.starts_with("ready ")) {
      found.peer = std::make_unique<PythonPeer>(library, answer.substr(6), std::move(conversation));
    } else {
      found.why_not = answer.starts_with("absent ") ? answer.substr(7) : python + " ended";
    }
  } catch (const std::runtime_error& error) {
    found.why_not = error.what();
  }
  return found;
}

}  // namespace polyattn::bench::peers
