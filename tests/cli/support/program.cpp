#include "cli/support/program.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

namespace polyattn::test {

namespace {

Outcome spawn(const std::string& directory, const std::vector<std::string>& words,
              const std::function<void(pid_t)>& meanwhile) {
  const TemporaryDirectory captured;
  const std::string out = captured.file("out");
  const std::string err = captured.file("err");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT, 0600);
  posix_spawn_file_actions_addchdir_np(&actions, directory.c_str());
  // Background jobs of a script ignore SIGINT, and the program would leave it so.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t interrupts;
  sigemptyset(&interrupts);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&interrupts, signal);
  posix_spawnattr_setsigdefault(&attributes, &interrupts);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);

  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_t process = 0;
  const int failed = posix_spawn(&process, argv.front(), &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed != 0) throw std::runtime_error("cannot run " + words.front());
  if (meanwhile) meanwhile(process);
  int status = 0;
  while (::waitpid(process, &status, 0) < 0) {
  }
  Outcome outcome;
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  outcome.out = captured.get("out");
  outcome.err = captured.get("err");
  return outcome;
}

}  // namespace

std::string program() {
  const char* chosen = std::getenv("POLYATTN_CLI");
  return chosen != nullptr ? chosen : POLYATTN_CLI;
}

Outcome run(const std::string& directory, const std::vector<std::string>& arguments,
            const std::function<void(pid_t)>& meanwhile) {
  std::vector<std::string> words{program()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return spawn(directory, words, meanwhile);
}

Outcome run_shell(const std::string& directory, const std::string& command) {
  return spawn(directory, {"/bin/sh", "-c", "POLYATTN='" + program() + "'; " + command}, {});
}

}  // namespace polyattn::test
