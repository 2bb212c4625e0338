#include "peers/conversation.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <ios>
#include <stdexcept>
#include <system_error>

namespace polyattn::bench::peers {

namespace fs = std::filesystem;

Conversation::Conversation(std::vector<std::string> command) {
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

Conversation::~Conversation() {
  to_.reset();  // the end of its input is the end of the program
  from_.reset();
  if (child_ > 0) waitpid(child_, nullptr, 0);
}

void Conversation::say(const std::string& line) {
  std::fputs((line + "\n").c_str(), to_.get());
  std::fflush(to_.get());
}

std::string Conversation::hear() {
  std::string line;
  for (int c = std::fgetc(from_.get()); c != EOF && c != '\n'; c = std::fgetc(from_.get())) {
    line.push_back(static_cast<char>(c));
  }
  return line;
}

Scratch::Scratch(const std::string& name)
    : folder_(fs::temp_directory_path() / ("polyattn-peer-" + name + "-" + std::to_string(getpid()))) {
  fs::create_directories(folder_);
}

Scratch::~Scratch() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

Introduction start_python(const std::string& script, const std::string& argument) {
  if (!fs::exists(script)) return {nullptr, {}, script + " is missing (run from the top)"};
  const char* chosen = std::getenv("POLYATTN_PEER_PYTHON");
  const std::string python = chosen != nullptr && *chosen != '\0' ? chosen : "python3";
  try {
    auto conversation = std::make_unique<Conversation>(std::vector<std::string>{python, script, argument});
    const std::string answer = conversation->hear();
    if (answer.starts_with("ready ")) return {std::move(conversation), answer.substr(6), {}};
    return {nullptr, {}, answer.starts_with("absent ") ? answer.substr(7) : python + " ended"};
  } catch (const std::runtime_error& error) {
    return {nullptr, {}, error.what()};
  }
}

std::string ask(Conversation& conversation, const std::string& name, const std::string& question) {
  conversation.say(question);
  std::string answer = conversation.hear();
  if (answer.empty()) throw std::runtime_error(name + " has ended");
  if (answer.starts_with("error ")) throw std::runtime_error(name + ": " + answer.substr(6));
  return answer;
}

void write_bytes(const fs::path& path, const void* bytes, std::size_t size) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(size));
  file.flush();
  if (!file) throw std::runtime_error(path.string() + ": cannot be written");
}

}  // namespace polyattn::bench::peers
