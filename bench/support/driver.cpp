#include "support/driver.hpp"

#include "polyattn/attention.hpp"
#include "support/fma_peak.hpp"
#include "support/process.hpp"

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

// What CMake knows about the build.
#ifndef POLYATTN_BENCH_FLAGS
#define POLYATTN_BENCH_COMPILER "unknown"
#define POLYATTN_BENCH_FLAGS "unknown"
#endif

namespace polyattn::bench {

namespace {

namespace fs = std::filesystem;

constexpr int kQuickRepetitions = 2;
bool quick = false;

struct Arguments {
  bool child = false;
  int processes = 0;
  std::string out;
  std::vector<std::string> others;  ///< argv[0] and what Google Benchmark gets
};

/// The rest of `argument` behind `--name=`, if it is that argument.
bool take(std::string_view argument, std::string_view name, std::string& value) {
  if (!argument.starts_with(name)) return false;
  value = argument.substr(name.size());
  return true;
}

Arguments parse(int argc, char** argv, const Driver& driver) {
  Arguments arguments;
  for (int i = 0; i < argc; ++i) {
    const std::string argument = argv[i];
    std::string value;
    if (argument == "--child") {
      arguments.child = true;
    } else if (argument == "--quick") {
      quick = true;
    } else if (take(argument, "--processes=", value)) {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), arguments.processes);
      if (error != std::errc{} || end != value.data() + value.size() || arguments.processes < 1) {
        throw std::invalid_argument("--processes: expected a positive integer, got '" + value + "'");
      }
    } else if (take(argument, "--benchmark_out=", value)) {
      arguments.out = value;
    } else if (!argument.starts_with("--benchmark_out_format=")) {
      arguments.others.push_back(argument);
    }
  }
  if (arguments.processes == 0) arguments.processes = quick ? 1 : driver.processes;
  return arguments;
}

/// The value of the first line "key : value" of a file of /proc.
std::string proc_line(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with(key) && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

/// The commit the working directory is at, "-dirty" behind it if files differ from it.
std::string commit(const fs::path& scratch) {
  std::string text;
  try {
    const std::vector<std::string> command{"git",     "--no-optional-locks", "describe",   "--always",
                                           "--dirty", "--abbrev=12",         "--exclude=*"};
    const Finished git = run_process("git", command, scratch, "/dev/null");
    if (git.status == 0) text = read_text(scratch);
  } catch (const std::runtime_error&) {  // no git here
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() ? "unknown" : text;
}

/// One process: Google Benchmark as its own main would run it.
int run_child(const Arguments& arguments, const Driver& driver) {
  std::vector<std::string> texts = arguments.others;
  texts.push_back("--benchmark_out=" + arguments.out);
  texts.emplace_back("--benchmark_out_format=json");
  std::vector<char*> argv;
  for (std::string& text : texts) argv.push_back(text.data());
  int argc = static_cast<int>(argv.size());
  argv.push_back(nullptr);
  benchmark::AddCustomContext("cpu_model", proc_line("/proc/cpuinfo", "model name"));
  benchmark::AddCustomContext("polyattn_version", version());
  benchmark::AddCustomContext("instruction_set", instruction_set());
  benchmark::AddCustomContext("fma_peak_instruction_set", fma_instruction_set());
  benchmark::AddCustomContext("compiler", POLYATTN_BENCH_COMPILER " " __VERSION__);
  benchmark::AddCustomContext("compiler_flags", POLYATTN_BENCH_FLAGS);
  driver.declare();
  benchmark::Initialize(&argc, argv.data());
  if (benchmark::ReportUnrecognizedArguments(argc, argv.data())) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

Json figures_json(const Figures& figures) {
  Json json = Json::array();
  for (const Figure& figure : figures.all()) {
    json.push_back({{"name", figure.name}, {"value", figure.value}, {"unit", figure.unit}});
    if (!figure.processes.empty()) json.back()["processes"] = figure.processes;
  }
  return json;
}

void print(const Rows& rows, const Figures& figures) {
  for (const std::string& refusal : rows.refusals()) std::printf("refused %s\n", refusal.c_str());
  for (const Figure& figure : figures.all()) {
    if (figure.processes.size() < 2) continue;
    std::printf("processes %s", figure.name.c_str());
    for (const double value : figure.processes) std::printf(" %.4g", value);
    std::printf(" %s\n", figure.unit.c_str());
  }
  for (const Figure& figure : figures.all()) {
    std::printf("figure %s %.4g %s\n", figure.name.c_str(), figure.value, figure.unit.c_str());
  }
}

/// The rows of all processes, each marked with its number, under the context of the first. Null if nothing was
/// measured.
Json run_children(const Arguments& arguments, const fs::path& scratch) {
  Json document;
  Json loads = Json::array();
  for (int process = 1; process <= arguments.processes; ++process) {
    std::vector<std::string> command = arguments.others;
    command.insert(command.end(), {"--child", "--benchmark_out=" + scratch.string()});
    if (quick) command.emplace_back("--quick");
    fs::remove(scratch);
    std::fflush(stdout);
    const Finished child = run_process(own_path(), command);
    if (child.status != 0) throw std::runtime_error("a process ended with status " + std::to_string(child.status));
    const std::string text = read_text(scratch);
    if (text.empty()) return {};
    Json part = Json::parse(text);
    loads.push_back(part["context"]["load_avg"]);
    for (Json& row : part["benchmarks"]) row["process"] = process;
    if (document.is_null()) {
      document = std::move(part);
    } else {
      Json& rows = document["benchmarks"];
      rows.insert(rows.end(), part["benchmarks"].begin(), part["benchmarks"].end());
    }
  }
  document["context"]["load_avg"] = loads;
  document["context"]["processes"] = arguments.processes;
  if (quick) document["context"]["quick"] = true;
  document["context"]["commit"] = commit(scratch);
  return document;
}

int run_parent(const Arguments& arguments, const Driver& driver) {
  const fs::path scratch = fs::temp_directory_path() / ("polyattn-bench-" + std::to_string(getpid()) + ".json");
  Json document = run_children(arguments, scratch);
  fs::remove(scratch);
  if (document.is_null()) return 0;  // a list of the cases, for example
  const Rows rows(document["benchmarks"]);
  Figures figures;
  driver.figures(rows, figures);
  document["figures"] = figures_json(figures);
  if (!arguments.out.empty()) {
    std::ofstream file(arguments.out);
    file << document.dump(1) << "\n" << std::flush;
    if (!file) throw std::runtime_error(arguments.out + ": cannot be written");
  }
  print(rows, figures);
  return rows.has_errors() ? 1 : 0;
}

}  // namespace

int repetitions(int full) { return quick ? kQuickRepetitions : full; }

int run_driver(int argc, char** argv, const Driver& driver) try {
  const Arguments arguments = parse(argc, argv, driver);
  return arguments.child ? run_child(arguments, driver) : run_parent(arguments, driver);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
  return 1;
}

}  // namespace polyattn::bench
