// The polynomial engine where entries are bounded: Q and K independent draws from [-1, 1]^8, scale 1/8, d_v = 64,
// within 1e-3 of the value range, one thread. How time and memory grow with n, and what exact would take.

#include "support/case.hpp"
#include "support/data.hpp"
#include "support/driver.hpp"
#include "support/memory.hpp"
#include "support/statistics.hpp"

#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace polyattn::bench {

namespace {

constexpr std::int64_t kDim = 8;
constexpr std::int64_t kValueDim = 64;
constexpr std::int64_t kSmallest = std::int64_t{1} << 15;
constexpr std::int64_t kLargest = std::int64_t{1} << 18;
constexpr std::int64_t kCheckedRows = 200;
constexpr int kPairs = 11;
constexpr int kSpeedupPairs = 5;
// Exact is timed on so many rows of Q; the time a row adds is what is extrapolated, not what a call costs once.
constexpr std::int64_t kFewRows = 1024;
constexpr std::int64_t kManyRows = 4096;

/// Values sin(frequency * z * (1 + c div d)) of the standardised key z. At the frequency 3 the waves are so short that
/// they cancel under weights as even as these, and mean(V) errs by about 6 tolerances only; at 1 it errs by 18.
constexpr double kFrequency = 1.0;
constexpr double kFastFrequency = 3.0;

/// Inputs for every n up to the largest: the first n rows.
struct Data {
  std::vector<float> q = uniform_tokens(kLargest, kDim, 1);
  std::vector<float> k = uniform_tokens(kLargest, kDim, 2);
  std::vector<float> v = values(kFrequency);
  std::vector<float> output = std::vector<float>(static_cast<std::size_t>(kLargest * kValueDim));

  [[nodiscard]] std::vector<float> values(double frequency) const {
    return values_of_keys(k, kDim, kValueDim, 1.0 / std::sqrt(3.0), frequency, 3);
  }
};

Data& data() {
  static Data once;
  return once;
}

Problem problem_of(std::int64_t rows, std::int64_t n, Engine engine) {
  Problem problem{
      matrix(data().q.data(), rows, kDim), matrix(data().k.data(), n, kDim), matrix(data().v.data(), n, kValueDim), {}};
  problem.options.score = Dot{0.125};
  problem.options.tolerance = {1e-3, ToleranceKind::of_value_range};
  problem.options.engine = engine;
  problem.options.threads = 1;
  return problem;
}

View output_of(std::int64_t rows) { return matrix(data().output.data(), rows, kValueDim); }

double time_once(const Problem& problem) {
  return seconds_of([&] { attend_into(problem, output_of(problem.q.shape[2])); });
}

/// One call whose memory and error are measured and whose report is written beside the times.
void describe(benchmark::State& state, const Problem& problem) {
  const ResidentWatch resident;
  const AllocationWatch allocated;
  const Report report = attend_into(problem, output_of(problem.q.shape[2]));
  set_counter(state, "peak_allocated_bytes", static_cast<double>(allocated.peak()));
  if (resident.peak() >= 0) set_counter(state, "peak_resident_bytes", static_cast<double>(resident.peak()));
  const double error = measured_error(problem, output_of(problem.q.shape[2]), kCheckedRows);
  const HeadReport& head = report.heads.front();
  set_counter(state, "error_over_bound", error / head.certificate.bound());
  set_counter(state, "mean_answer_error_over_tolerance", head.mean_answer_error / head.tolerance);
  describe_case(state, problem, report, error);
}

/// Times n and, between its repetitions, n/2: the ratio is the median over neighbours, the order changing each time.
void doubling(benchmark::State& state, std::int64_t n, Engine engine) {
  const Problem whole = problem_of(n, n, engine);
  const Problem half = problem_of(n / 2, n / 2, engine);
  const bool paired = n > kSmallest;
  if (paired) time_once(half);  // warms up
  describe(state, whole);
  std::vector<double> seconds;
  std::vector<double> ratios;
  bool half_first = true;
  for (auto _ : state) {
    double other = paired && half_first ? time_once(half) : 0.0;
    seconds.push_back(time_once(whole));
    if (paired && !half_first) other = time_once(half);
    if (paired) ratios.push_back(seconds.back() / other);
    half_first = !half_first;
    state.SetIterationTime(seconds.back());
  }
  set_counter(state, "best_seconds", lowest(seconds));
  set_counter(state, "median_seconds", median(seconds));
  set_counter(state, "ratio_to_half_n", median(ratios));
}

/// The largest n beside exact: the fastest exact arithmetic that certifies the same tolerance, on two numbers of rows
/// against all keys, extrapolated along the line through both.
void speedup(benchmark::State& state) {
  const Problem fast = problem_of(kLargest, kLargest, Engine::polynomial);
  const Problem few = problem_of(kFewRows, kLargest, Engine::exact);
  const Problem many = problem_of(kManyRows, kLargest, Engine::exact);
  const Report exact = attend_into(few, output_of(kFewRows));
  describe(state, fast);
  std::vector<double> seconds;
  std::vector<double> exact_seconds;
  std::vector<double> speedups;
  for (auto _ : state) {
    seconds.push_back(time_once(fast));
    const double of_few = time_once(few);
    const double of_many = time_once(many);
    const double per_row = (of_many - of_few) / static_cast<double>(kManyRows - kFewRows);
    exact_seconds.push_back(of_many + per_row * static_cast<double>(kLargest - kManyRows));
    speedups.push_back(exact_seconds.back() / seconds.back());
    state.SetIterationTime(seconds.back());
  }
  set_counter(state, "median_seconds", median(seconds));
  set_counter(state, "exact_seconds_extrapolated", median(exact_seconds));
  set_counter(state, "exact_bound", exact.heads.front().certificate.bound());
  set_counter(state, "speedup", median(speedups));
  state.SetLabel(std::string("polynomial against exact ") + name_of(exact.heads.front().arithmetic));
}

/// The same problem with faster waves, for which the constant answer is less wrong.
void fast_values(benchmark::State& state) {
  const std::vector<float> waves = data().values(kFastFrequency);
  Problem problem = problem_of(kSmallest, kSmallest, Engine::polynomial);
  problem.values = matrix(waves.data(), kSmallest, kValueDim);
  describe(state, problem);
  for (auto _ : state) state.SetIterationTime(time_once(problem));
}

std::string case_name(Engine engine, int log2) {
  return std::string("polynomial/") + name_of(engine) + "/n2^" + std::to_string(log2);
}

void declare() {
  for (const Engine engine : {Engine::polynomial, Engine::automatic}) {
    for (int log2 = 15; log2 <= 18; ++log2) {
      declare_case(case_name(engine, log2), kPairs,
                   [engine, log2](benchmark::State& state) { doubling(state, std::int64_t{1} << log2, engine); });
    }
  }
  declare_case("polynomial/speedup/n2^18", kSpeedupPairs, speedup);
  declare_case("polynomial/fast_values/n2^15", kPairs, fast_values);
}

void figures(const Rows& rows, Figures& figures) {
  const auto growth = [&](const char* counter) -> std::optional<double> {
    const auto grown = difference(rows.value(case_name(Engine::polynomial, 18), counter),
                                  rows.value(case_name(Engine::polynomial, 15), counter));
    return ratio(grown, 1e6);
  };
  const std::pair<Engine, std::string> kinds[] = {{Engine::polynomial, "polynomial_doubling_2^"},
                                                  {Engine::automatic, "polynomial_auto_doubling_2^"}};
  for (const auto& [engine, name] : kinds) {
    for (int log2 = 16; log2 <= 18; ++log2) {
      figures.add(name + std::to_string(log2), rows.value(case_name(engine, log2), "ratio_to_half_n"), "x");
    }
  }
  figures.add("polynomial_memory_growth", growth("peak_allocated_bytes"), "MB");
  figures.add("polynomial_resident_growth", growth("peak_resident_bytes"), "MB");
  const std::string speedup_case = "polynomial/speedup/n2^18";
  figures.add("polynomial_speedup_2^18", rows.value(speedup_case, "speedup"), "x");
  figures.add("polynomial_seconds_2^18", rows.value(speedup_case, "median_seconds"), "s");
  figures.add("polynomial_exact_seconds_2^18", rows.value(speedup_case, "exact_seconds_extrapolated"), "s");
  figures.add("polynomial_mean_error_over_tolerance", rows.value(speedup_case, "mean_answer_error_over_tolerance"),
              "x");
  figures.add("polynomial_mean_error_over_tolerance_fast_values",
              rows.value("polynomial/fast_values/n2^15", "mean_answer_error_over_tolerance"), "x");
  figures.add("polynomial_measured_error_over_bound", rows.value(speedup_case, "error_over_bound"), "x");
}

}  // namespace

}  // namespace polyattn::bench

int main(int argc, char** argv) {
  return polyattn::bench::run_driver(argc, argv, {1, polyattn::bench::declare, polyattn::bench::figures});
}
