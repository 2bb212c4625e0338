#pragma once

/// Flags that smooth and density share, and what they ask for.

#include "command.hpp"
#include "polyattn/options.hpp"
#include "smoothing/query_grid.hpp"
#include "smoothing/tables.hpp"

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace polyattn::cli {

/// As given.
struct SmoothingFlags {
  TableFlags tables;
  GridFlags grid;
  std::optional<std::string> output, bandwidth, tolerance, tolerance_kind, bounds, verify, seed, json;
  std::optional<std::string> engine, arithmetic, threads, max_memory, calibration;
  bool strict = false;
  bool plan = false;
};

void add_input_flags(CLI::App& app, SmoothingFlags& flags, const std::string& positionals);
void add_running_flags(CLI::App& app, SmoothingFlags& flags);

/// By which means: the same members have the same names in the options of the library.
struct Means {
  Engine engine = Engine::automatic;
  Arithmetic arithmetic = Arithmetic::automatic;
  bool strict = false;
  int threads = 0;
  std::uint64_t max_memory = std::numeric_limits<std::uint64_t>::max();
  std::optional<Calibration> calibration;

  template <class AnyOptions>
  void apply(AnyOptions& options) const {
    options.engine = engine;
    options.arithmetic = arithmetic;
    if constexpr (requires { options.strict; }) options.strict = strict;
    options.threads = threads;
    options.max_memory = max_memory;
    options.calibration = calibration;
  }
};

/// What both commands are asked for, checked as far as it can be without the files.
struct SmoothingRequest {
  TableRequest tables;
  std::optional<GridRequest> grid;
  std::string bandwidth_rule;     ///< "given", "scott" or "cv"
  std::vector<double> bandwidth;  ///< if given
  double tolerance = 1e-4;
  Means means;
  std::int64_t verify_rows = 0;  ///< 0: nothing is verified
  std::uint64_t seed = 0;
};

/// `command` takes values, and with them `--bandwidth cv`, if `with_values`. Throws UsageError.
SmoothingRequest smoothing_request(const SmoothingFlags& flags, const char* command, bool with_values);

/// "out-std.npy" for ("out.npy", "-std"): the names of arrays that go beside a .npy output.
std::string beside(const std::string& output, const std::string& suffix);

/// Every file that the flags ask for, `extra` among them; with --plan only the report. Checks that they can be written.
void check_smoothing_outputs(const SmoothingFlags& flags, const SmoothingRequest& request,
                             std::vector<std::string> extra);

/// One bandwidth for each axis or one for all, else UsageError.
void check_bandwidth_axes(const std::vector<double>& bandwidth, const Table& points);

}  // namespace polyattn::cli
