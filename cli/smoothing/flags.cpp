#include "smoothing/flags.hpp"

#include "calibration.hpp"
#include "io/csv_table.hpp"
#include "problem.hpp"
#include "results.hpp"
#include "verification.hpp"

#include <fmt/core.h>
#include <utility>

namespace polyattn::cli {

namespace {

Means parse_means(const SmoothingFlags& flags) {
  Means means;
  if (flags.engine) means.engine = parse_engine(*flags.engine);
  if (flags.arithmetic) means.arithmetic = parse_arithmetic(*flags.arithmetic);
  if (flags.strict && means.engine == Engine::automatic) throw UsageError("--strict needs a forced --engine");
  means.strict = flags.strict;
  if (flags.threads) means.threads = parse_threads(*flags.threads);
  if (flags.max_memory) means.max_memory = parse_bytes("--max-memory", *flags.max_memory);
  means.calibration = calibration_of(flags.calibration);
  return means;
}

}  // namespace

void add_input_flags(CLI::App& app, SmoothingFlags& flags, const std::string& positionals) {
  app.add_option("files", flags.tables.files, positionals)->type_name("FILE ...");
  text_flag(app, "--x", flags.tables.x, "A,B,...", "For .csv: the columns that are coordinates, one for each axis");
  text_flag(app, "--queries", flags.tables.queries, "Q",
            "Where to answer, [m, d] or a .csv with the columns of --x (default: at the points)");
  text_flag(app, "--on-grid", flags.grid.on_grid, "AxB...",
            "Answer on a grid instead, of so many points along each axis, over the box of the points");
  text_flag(app, "--margin", flags.grid.margin, "M", "Widen that box by M bandwidths on every side (default 0)");
  text_flag(app, "--box", flags.grid.box, "LOW:HIGH,...", "The box of the grid, in the units of the points");
}

void add_running_flags(CLI::App& app, SmoothingFlags& flags) {
  text_flag(app, "--engine", flags.engine, "ENGINE", "auto (default), reference, exact, polynomial, grid or clustered");
  text_flag(app, "--arithmetic", flags.arithmetic, "TYPE", "float32 or float64 (default: the cheaper that suffices)");
  app.add_flag("--strict", flags.strict, "A forced engine fails instead of handing rows it cannot certify to exact");
  text_flag(app, "--threads", flags.threads, "N", "Threads (default 0: all there are); any number gives the same bits");
  text_flag(app, "--max-memory", flags.max_memory, "BYTES",
            "Refuse to use more, input files excluded; K, M, G, T are powers of 1024");
  text_flag(app, "--calibration", flags.calibration, "WHAT",
            "Speeds that predictions use: none (default), auto, or a file of info --calibrate");
  text_flag(app, "--verify", flags.verify, "ROWS", "Compare this many random rows with exact float64 afterwards");
  text_flag(app, "--seed", flags.seed, "S", "Seed of the rows of --verify (default: a random one, reported)");
  app.add_flag("--plan", flags.plan, "Only say what would be done, and what it would cost; writes no result");
  text_flag(app, "--json", flags.json, "FILE", "The report as JSON; - for standard output");
}

SmoothingRequest smoothing_request(const SmoothingFlags& flags, const char* command, bool with_values) {
  if (flags.plan) {
    for (const auto& [flag, given] : {std::pair{"--output", flags.output.has_value()},
                                      {"--bounds", flags.bounds.has_value()},
                                      {"--verify", flags.verify.has_value()}}) {
      if (given) throw UsageError(fmt::format("--plan computes nothing, so {} does not go with it", flag));
    }
  } else if (!flags.output) {
    throw UsageError(fmt::format("{} needs -o OUT, the file to write", command));
  }
  SmoothingRequest request;
  request.tables = table_request(flags.tables, command, with_values);
  request.grid = grid_request(flags.grid);
  if (request.grid && request.tables.queries) throw UsageError("--queries and --on-grid exclude each other");
  const char* rules = with_values ? "H, H1,H2,..., scott or cv" : "H, H1,H2,... or scott";
  if (!flags.bandwidth) throw UsageError(fmt::format("{} needs --bandwidth: {}", command, rules));
  if (*flags.bandwidth == "scott" || (with_values && *flags.bandwidth == "cv")) {
    request.bandwidth_rule = *flags.bandwidth;
  } else if (*flags.bandwidth == "cv") {
    throw UsageError(fmt::format("--bandwidth cv needs values to predict; {} has none", command));
  } else {
    request.bandwidth_rule = "given";
    request.bandwidth = parse_bandwidths(*flags.bandwidth);
  }
  if (flags.tolerance) {
    request.tolerance = parse_real("--tolerance", *flags.tolerance);
    if (request.tolerance < 0.0) refuse_flag("--tolerance", *flags.tolerance, "a number that is not negative");
  }
  request.means = parse_means(flags);
  if (flags.seed && !flags.verify) throw UsageError("--seed needs --verify");
  if (flags.verify) request.verify_rows = parse_integer("--verify", *flags.verify, 1, std::int64_t{1} << 40);
  request.seed = flags.seed ? parse_unsigned("--seed", *flags.seed) : random_seed();
  return request;
}

std::string beside(const std::string& output, const std::string& suffix) {
  const std::string extension = ".npy";
  const std::string stem = output.ends_with(extension) ? output.substr(0, output.size() - extension.size()) : output;
  return stem + suffix + extension;
}

void check_smoothing_outputs(const SmoothingFlags& flags, const SmoothingRequest& request,
                             std::vector<std::string> extra) {
  std::vector<std::string> outputs = file_outputs({flags.json});
  for (const auto& path : {flags.output, flags.bounds}) {
    if (path) outputs.push_back(*path);
  }
  outputs.insert(outputs.end(), extra.begin(), extra.end());
  if (request.grid && flags.output && !io::is_csv(*flags.output)) {
    for (std::size_t l = 0; l < request.grid->counts.size(); ++l) {
      outputs.push_back(beside(*flags.output, "-axis" + std::to_string(l)));
    }
  }
  io::check_outputs(outputs, request.tables.input_paths());
}

void check_bandwidth_axes(const std::vector<double>& bandwidth, const Table& points) {
  if (bandwidth.size() != 1 && std::cmp_not_equal(bandwidth.size(), points.dim())) {
    throw UsageError(fmt::format("--bandwidth has {} numbers; {} has {} axes, so 1 or {} are expected",
                                 bandwidth.size(), points.file, points.dim(), points.dim()));
  }
}

}  // namespace polyattn::cli
