#pragma once

/// Other programs, started and timed as a user would start them.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace polyattn::bench {

struct Finished {
  int status = 0;        ///< exit code, or 128 + signal
  double seconds = 0.0;  ///< wall clock, from start to exit
  std::int64_t peak_resident_bytes = 0;
};

/// Runs `program` (looked up in PATH if it has no slash) with argv[0] = arguments[0]; its standard output goes to the
/// file `output`, or to ours if that is empty. Throws std::runtime_error if it cannot be started.
Finished run_process(const std::string& program, const std::vector<std::string>& arguments,
                     const std::filesystem::path& output = {}, const std::filesystem::path& errors = {});

/// The program that is running.
std::filesystem::path own_path();

/// The whole file; empty if it cannot be read.
std::string read_text(const std::filesystem::path& path);

}  // namespace polyattn::bench
