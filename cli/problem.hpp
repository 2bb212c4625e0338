#pragma once

/// The part of the command line that attend, plan and verify share: the inputs, and what is to be computed from them.

#include "command.hpp"
#include "io/mask_file.hpp"
#include "io/stored_tensor.hpp"
#include "polyattn/attention.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace polyattn::cli {

/// As given, before anything is parsed.
struct ProblemFlags {
  std::vector<std::string> files;
  std::optional<std::string> order, tolerance, tolerance_kind, scale, scale_rule, score, bandwidth, causal, key_bias;
  std::optional<std::string> window, segments, key_segments, boolean, additive, soft_cap;
  bool exclude_self = false;
  std::optional<std::string> non_finite, max_memory, threads;
};

/// How to compute it: flags attend and plan share.
struct EngineFlags {
  std::optional<std::string> engine, arithmetic, degree, dtype, guarantee, unseen_share, confidence, calibration;
  bool strict = false;
};

void add_problem_flags(CLI::App& app, ProblemFlags& flags, const std::string& positionals);
void add_engine_flags(CLI::App& app, EngineFlags& flags);

/// What single flags mean, wherever they are taken. Throw UsageError.
Engine parse_engine(const std::string& text);
Arithmetic parse_arithmetic(const std::string& text);
DType parse_output_dtype(const std::string& text);
int parse_threads(const std::string& text);
/// "0.5" or "0.5,1,2": positive numbers by whose squares scores can be divided.
std::vector<double> parse_bandwidths(const std::string& text);

/// Everything the flags say, checked as far as it can be without the data.
struct Request {
  std::string q;
  std::vector<std::string> keys;
  std::vector<std::string> values;
  std::string extra;                  ///< the file after the values, where the command takes one
  std::vector<std::string> key_bias;  ///< one for each key set, or none; an empty name: that set has none
  std::optional<std::string> boolean, additive;
  std::optional<std::string> segments, key_segments;  ///< the second only where it is another file
  std::optional<std::string> scale_rule;              ///< resolved when the dimension is known
  Options options;

  /// Every file that is read, without tensor names.
  [[nodiscard]] std::vector<std::string> input_paths() const;
};

/// `extra_files` positionals follow Q, keys and values. Throws UsageError.
Request make_request(const ProblemFlags& flags, std::size_t extra_files);
void apply_engine_flags(const EngineFlags& flags, Options& options);

/// The inputs in memory. `options.mask` holds views of the masks.
struct Problem {
  io::StoredTensor q;
  std::vector<io::StoredTensor> keys;
  std::vector<io::StoredTensor> values;
  std::vector<std::optional<io::StoredTensor>> bias;  ///< of each key set, if any has one
  std::optional<io::StoredTensor> additive;
  std::optional<io::StoredBooleans> boolean;
  std::string query_segments, key_segments;  ///< names of the files of offsets
  ConstView q_view;
  std::vector<ConstView> key_views;
  std::vector<ConstView> value_views;
  Options options;

  [[nodiscard]] std::size_t rank() const noexcept { return q.dims.size(); }
};

/// Reads the files and checks, by file name, that their shapes fit. Throws Error (invalid_argument), UsageError for
/// flags that do not suit the dimension.
Problem load(const Request& request);

/// `error` as the user should see it: where the library says "q: …", the file is named.
Error with_file_name(const Error& error, const Problem& problem);

/// Calls the library so that its errors name files.
template <class Call>
auto naming_files(const Problem& problem, const Call& call) {
  try {
    return call();
  } catch (const Error& error) {
    throw with_file_name(error, problem);
  }
}

}  // namespace polyattn::cli
