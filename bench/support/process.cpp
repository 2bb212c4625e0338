#include "support/process.hpp"

#include "support/statistics.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>

namespace polyattn::bench {

Finished run_process(const std::string& program, const std::vector<std::string>& arguments,
                     const std::filesystem::path& output, const std::filesystem::path& errors) {
  std::vector<std::string> copies = arguments;
  std::vector<char*> argv;
  for (std::string& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (!output.empty()) {
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  }
  if (!errors.empty()) {
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  }
  Finished finished;
  int status = 0;
  int failure = 0;
  rusage usage{};
  finished.seconds = seconds_of([&] {
    pid_t child = 0;
    failure = posix_spawnp(&child, program.c_str(), &actions, nullptr, argv.data(), environ);
    while (failure == 0 && wait4(child, &status, 0, &usage) < 0) {
      if (errno != EINTR) failure = errno;
    }
  });
  posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) throw std::runtime_error(program + ": " + std::generic_category().message(failure));
  finished.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  finished.peak_resident_bytes = static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
  return finished;
}

std::filesystem::path own_path() { return std::filesystem::read_symlink("/proc/self/exe"); }

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace polyattn::bench
