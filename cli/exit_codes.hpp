#pragma once

namespace polyattn::cli {

enum ExitCode : int {
  exit_done = 0,
  exit_outside = 1,        ///< rows are outside: verify, --verify, or lab disjoint
  exit_usage = 2,          ///< the command line is wrong, or asks for what no engine can do
  exit_bad_input = 3,      ///< files, shapes, NaN in the data, a path that cannot be written
  exit_not_reachable = 4,  ///< no allowed engine certifies the tolerance
  exit_failed = 5,         ///< anything else: memory, disk full
  exit_interrupted = 130,
};

}  // namespace polyattn::cli
