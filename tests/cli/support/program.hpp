#pragma once

/// Running the program as a user does.

#include "cli/support/files.hpp"

#include <sys/types.h>
#include <functional>
#include <string>
#include <vector>

namespace polyattn::test {

struct Outcome {
  int code = -1;  ///< exit code, or minus the signal that ended the process
  std::string out;
  std::string err;
};

/// Path of the program under test; the environment variable POLYATTN_CLI overrides the one just built.
std::string program();

/// Runs `polyattn arguments...` in `directory`, output and errors kept elsewhere. `meanwhile` is called with the
/// process id while it runs.
Outcome run(const std::string& directory, const std::vector<std::string>& arguments,
            const std::function<void(pid_t)>& meanwhile = {});
/// The same for a shell command, in which $POLYATTN is the program.
Outcome run_shell(const std::string& directory, const std::string& command);

}  // namespace polyattn::test
