// The main job on real input, as a user starts it: `polyattn attend` on every pixel of the photograph, engine chosen by
// the planner against engine exact, at the same tolerance and equal threads, whole processes timed from start to exit.

#include "support/case.hpp"
#include "support/driver.hpp"
#include "support/process.hpp"
#include "support/statistics.hpp"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace polyattn::bench {

namespace {

namespace fs = std::filesystem;

constexpr int kPairs = 3;
constexpr int kVerifiedRows = 1000;
constexpr const char* kCase = "photo/attend";

struct Job {
  fs::path folder;
  fs::path program;
  std::string bandwidth;
  std::string threads;
};

/// The photograph as tokens, as scripts/demo makes them; throws where the picture, python or the program is missing.
Job prepare() {
  const fs::path build = own_path().parent_path().parent_path();
  Job job{build / "bench" / "photo",
          build / "polyattn",
          {},
          std::to_string(std::max(1U, std::thread::hardware_concurrency()))};
  const fs::path photo = "data/photo/china.jpg";
  const fs::path features = "examples/photo/features.py";
  for (const fs::path& needed : {photo, features, job.program}) {
    if (!fs::exists(needed)) throw std::runtime_error("skipped: " + needed.string() + " is missing (run from the top)");
  }
  fs::create_directories(job.folder);
  // numpy and PIL are the system's packages, so its python is asked first.
  const std::string python = fs::exists("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
  const fs::path answer = job.folder / "bandwidth.txt";
  const Finished finished = run_process(python, {python, features, photo, job.folder}, answer);
  job.bandwidth = read_text(answer);
  while (!job.bandwidth.empty() && job.bandwidth.back() == '\n') job.bandwidth.pop_back();
  if (finished.status != 0 || job.bandwidth.empty()) {
    throw std::runtime_error("skipped: " + features.string() + " failed (it needs numpy and PIL; scripts/setup)");
  }
  return job;
}

struct Run {
  Finished process;
  Json report;
};

Run attend(const Job& job, const std::vector<std::string>& more) {
  const fs::path report = job.folder / "report.json";
  std::vector<std::string> arguments{"polyattn", "attend"};
  for (const char* name : {"Q.npy", "K.npy", "V.npy"}) arguments.push_back(job.folder / name);
  arguments.insert(arguments.end(),
                   {"-o", job.folder / "OUT.npy", "--score", "gaussian", "--bandwidth", job.bandwidth, "--tolerance",
                    "1e-3", "--tolerance-kind", "of_value_range", "--threads", job.threads, "--json", report});
  arguments.insert(arguments.end(), more.begin(), more.end());
  Run run;
  run.process = run_process(job.program, arguments, job.folder / "words.txt");
  if (run.process.status != 0) {
    throw std::runtime_error("polyattn attend ended with status " + std::to_string(run.process.status));
  }
  run.report = Json::parse(read_text(report));
  return run;
}

/// A number of a report; NaN where it is null.
double number(const Json& json, const char* key) {
  return json.contains(key) && json[key].is_number() ? json[key].get<double>()
                                                     : std::numeric_limits<double>::quiet_NaN();
}

void describe(benchmark::State& state, const Json& report, const Json& exact) {
  const Json& head = report["heads"][0];
  const Json& rows = head["rows"];
  const double tolerance = number(head, "tolerance");
  set_counter(state, "n", number(rows, "total"));
  set_counter(state, "d", 5);
  set_counter(state, "d_v", 3);
  set_counter(state, "attend_threads", number(report, "threads"));
  set_counter(state, "tolerance", tolerance);
  set_counter(state, "bound", number(head, "bound"));
  set_counter(state, "measured_error", number(head, "measured_error"));
  set_counter(state, "exact_bound", number(exact["heads"][0], "bound"));
  set_counter(state, "mean_answer_error", number(head, "mean_answer_error"));
  set_counter(state, "mean_answer_error_over_tolerance", number(head, "mean_answer_error") / tolerance);
  set_counter(state, "rows_exact", number(rows, "exact"));
  set_counter(state, "rows_polynomial", number(rows, "polynomial"));
  set_counter(state, "degree", number(head, "degree"));
  set_counter(state, "rank", number(head, "rank"));
  set_counter(state, "radius", number(head, "radius"));
  set_counter(state, "peak_bytes", number(report, "peak_bytes"));
  set_counter(state, "verified_rows", number(report["verify"], "rows"));
  set_counter(state, "rows_outside", number(report["verify"], "outside"));
  const auto name = [](const Json& one) {
    return one["heads"][0]["engine"].get<std::string>() + " " + one["heads"][0]["arithmetic"].get<std::string>();
  };
  state.SetLabel(name(report) + " against " + name(exact));
}

void measure(benchmark::State& state) {
  const Job job = prepare();
  // Timed apart: what it finds is written beside the times below. An exit code of 1, a row outside, throws.
  const Run verified = attend(job, {"--verify", std::to_string(kVerifiedRows), "--seed", "1"});
  std::vector<double> seconds;
  std::vector<double> exact_seconds;
  std::vector<double> speedups;
  Run chosen;
  Run exact;
  for (auto _ : state) {
    chosen = attend(job, {"--engine", "auto"});
    exact = attend(job, {"--engine", "exact"});
    seconds.push_back(chosen.process.seconds);
    exact_seconds.push_back(exact.process.seconds);
    speedups.push_back(exact.process.seconds / chosen.process.seconds);
    state.SetIterationTime(seconds.back());
  }
  set_counter(state, "median_seconds", median(seconds));
  set_counter(state, "exact_median_seconds", median(exact_seconds));
  set_counter(state, "speedup", median(speedups));
  set_counter(state, "compute_seconds", number(chosen.report, "seconds"));
  set_counter(state, "exact_compute_seconds", number(exact.report, "seconds"));
  set_counter(state, "peak_resident_bytes", static_cast<double>(chosen.process.peak_resident_bytes));
  set_counter(state, "exact_peak_resident_bytes", static_cast<double>(exact.process.peak_resident_bytes));
  describe(state, verified.report, exact.report);
}

void declare() { declare_case(kCase, kPairs, measure); }

void figures(const Rows& rows, Figures& figures) {
  const auto add = [&](const char* name, const char* counter, const char* unit) {
    figures.add(name, rows.value(kCase, counter), unit);
  };
  add("photo_auto_speedup", "speedup", "x");
  add("photo_auto_seconds", "median_seconds", "s");
  add("photo_exact_seconds", "exact_median_seconds", "s");
  add("photo_mean_error_over_tolerance", "mean_answer_error_over_tolerance", "x");
  add("photo_bound", "bound", "absolute");
  add("photo_measured_error", "measured_error", "absolute");
  add("photo_rows_outside", "rows_outside", "rows");
}

}  // namespace

}  // namespace polyattn::bench

int main(int argc, char** argv) {
  return polyattn::bench::run_driver(argc, argv, {1, polyattn::bench::declare, polyattn::bench::figures});
}
