// Whole calls, planning included, the engine chosen by the planner, against the fastest exact arithmetic that certifies
// the same tolerance, on one thread. Exact is timed on two numbers of rows against all keys, and extrapolated along the
// line through both.

#include "polynomial/inputs.hpp"
#include "polynomial/outcome.hpp"
#include "polynomial/parts.hpp"
#include "support/driver.hpp"
#include "support/statistics.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace polyattn::bench::polynomial {

namespace {

constexpr int kPairs = 5;
// The time a row adds is what is extrapolated, not what a call costs once.
constexpr std::int64_t kFewRows = 1024;
constexpr std::int64_t kManyRows = 4096;
/// Pairs beyond this time repeat the last: a call that hands its rows to exact takes minutes.
constexpr double kEnoughSeconds = 60.0;

/// Where the score is a dot product weights are so even that waves of frequency 3 cancel, and mean(V) errs by about 6
/// tolerances only; at 1 it errs by 18.
constexpr double kSlow = 1.0;
constexpr double kFast = 3.0;

struct SpeedupCase {
  const char* name;
  Setting setting;
  DType data = DType::float32;
};

constexpr std::int64_t kMillion = 1'000'000;
constexpr std::int64_t kLarge = std::int64_t{1} << 18;

constexpr SpeedupCase kCases[] = {
    {"polynomial/speedup/d3_L10/float64", {100'000, 3, 1, Cloud::unit_cube, 10.0, 1e-4, kFast}, DType::float64},
    {"polynomial/speedup/d3_L10/float32", {100'000, 3, 1, Cloud::unit_cube, 10.0, 1e-4, kFast}, DType::float32},
    {"polynomial/speedup/d5_L10/float64", {100'000, 5, 1, Cloud::unit_cube, 10.0, 1e-4, kFast}, DType::float64},
    {"polynomial/speedup/d5_L10/float32", {100'000, 5, 1, Cloud::unit_cube, 10.0, 1e-4, kFast}, DType::float32},
    {"polynomial/speedup/d8_L1/float64", {kMillion, 8, 1, Cloud::unit_cube, 1.0, 1e-4, kFast}, DType::float64},
    {"polynomial/speedup/d8_L1/float32", {kMillion, 8, 1, Cloud::unit_cube, 1.0, 1e-4, kFast}, DType::float32},
    {"polynomial/speedup/2^18", {kLarge, 8, 64, Cloud::cube, 1.0 / 8, 1e-3, kSlow}},
    {"polynomial/speedup/d16_v16", {kLarge, 16, 16, Cloud::cube, 1.0 / 8, 1e-3, kSlow}},
    {"polynomial/speedup/d32_v32", {kLarge, 32, 32, Cloud::cube, 1.0 / 16, 1e-3, kSlow}},
    {"polynomial/speedup/d64_v64_normal", {kLarge, 64, 64, Cloud::normal, 1.0 / 64, 1e-3, kSlow}},
};

constexpr const char* kFastValues = "polynomial/fast_values";

/// float32 if it certifies the tolerance, else float64.
template <class T>
Arithmetic exact_arithmetic(Inputs<T>& inputs, Problem problem) {
  problem.options.arithmetic = Arithmetic::float32;
  try {
    attend_into(problem, inputs.output(kFewRows));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::not_reachable) throw;
    return Arithmetic::float64;
  }
  return Arithmetic::float32;
}

bool takes_exact(const Problem& problem) {
  const Plan plan = polyattn::plan(problem.q, std::array{problem.keys}, std::array{problem.values}, problem.options);
  return plan.report().heads.front().engine == Engine::exact;
}

template <class T>
void measure(benchmark::State& state, const Setting& setting) {
  Inputs<T> inputs(setting);
  // Where the planner takes exact for all rows there is nothing to compare, and minutes would pass.
  const bool none = takes_exact(inputs.problem(Engine::automatic));
  const std::int64_t answered = none ? kFewRows : setting.n;
  const Problem fast = inputs.problem(answered, setting.n, none ? Engine::exact : Engine::automatic);
  Problem few = inputs.problem(kFewRows, setting.n, Engine::exact);
  Problem many = inputs.problem(kManyRows, setting.n, Engine::exact);
  few.options.arithmetic = many.options.arithmetic = exact_arithmetic(inputs, few);
  const Report exact = attend_into(few, inputs.output(kFewRows));
  const auto timed = [&](const Problem& problem) {
    return seconds_of([&] { benchmark::DoNotOptimize(attend_into(problem, inputs.output(problem.q.shape[2]))); });
  };
  const Report report = describe(state, fast, inputs.output(answered));

  std::vector<double> seconds;
  std::vector<double> exact_seconds;
  std::vector<double> speedups;
  double total = 0.0;
  for (auto _ : state) {
    if (seconds.empty() || total < kEnoughSeconds) {
      const double of_fast = timed(fast);
      const double of_few = timed(few);
      const double of_many = timed(many);
      const double per_row = (of_many - of_few) / static_cast<double>(kManyRows - kFewRows);
      exact_seconds.push_back(of_many + per_row * static_cast<double>(setting.n - kManyRows));
      seconds.push_back(none ? exact_seconds.back() : of_fast);
      speedups.push_back(exact_seconds.back() / seconds.back());
      total += of_fast;
    }
    state.SetIterationTime(seconds.back());
  }
  const HeadReport& head = report.heads.front();
  const auto rows = static_cast<double>(head.rows_total);
  set_counter(state, "pairs", static_cast<double>(seconds.size()));
  set_counter(state, "median_seconds", median(seconds));
  set_counter(state, "exact_seconds_extrapolated", median(exact_seconds));
  set_counter(state, "exact_bound", exact.heads.front().certificate.bound());
  set_counter(state, "exact_bits", exact.heads.front().arithmetic == Arithmetic::float32 ? 32 : 64);
  set_counter(state, "bits", head.arithmetic == Arithmetic::float32 ? 32 : 64);
  set_counter(state, "polynomial_rows", 100.0 * static_cast<double>(head.rows_polynomial) / rows);
  set_counter(state, "speedup", median(speedups));
  state.SetLabel((none ? "auto takes exact: " : "") + name_of_answer(head) + " against " +
                 name_of_answer(exact.heads.front()) + ", " + report.instruction_set);
}

/// The values of the case 2^18 with faster waves, for which the constant answer is less wrong.
void measure_fast_values(benchmark::State& state) {
  Inputs<float> inputs({std::int64_t{1} << 15, 8, 64, Cloud::cube, 1.0 / 8, 1e-3, kFast});
  const Problem problem = inputs.problem(Engine::polynomial);
  describe(state, problem, inputs.output());
  for (auto _ : state) state.SetIterationTime(seconds_of([&] { attend_into(problem, inputs.output()); }));
}

void declare() {
  for (const SpeedupCase& which : kCases) {
    declare_case(which.name, repetitions(kPairs), [&which](benchmark::State& state) {
      which.data == DType::float64 ? measure<double>(state, which.setting) : measure<float>(state, which.setting);
    });
  }
  declare_case(kFastValues, 1, measure_fast_values);
}

void figures(const Rows& rows, Figures& figures) {
  for (const SpeedupCase& which : kCases) {
    const std::string name = figure_name(which.name);
    figures.add_median(name, rows.all(which.name, "speedup"), "x");
    figures.add(name + "_seconds", rows.value(which.name, "median_seconds"), "s");
    figures.add(name + "_exact_seconds", rows.value(which.name, "exact_seconds_extrapolated"), "s");
    figures.add(name + "_exact_arithmetic", rows.value(which.name, "exact_bits"), "bit");
    figures.add(name + "_arithmetic", rows.value(which.name, "bits"), "bit");
    figures.add(name + "_degree", rows.value(which.name, "degree"), "degree");
    figures.add(name + "_polynomial_rows", rows.value(which.name, "polynomial_rows"), "%");
    figures.add(name + "_mean_error_over_tolerance", rows.value(which.name, "mean_answer_error_over_tolerance"), "x");
    figures.add(name + "_measured_error_over_bound", rows.value(which.name, "error_over_bound"), "x");
  }
  figures.add("polynomial_fast_values_mean_error_over_tolerance",
              rows.value(kFastValues, "mean_answer_error_over_tolerance"), "x");
}

}  // namespace

const Part kSpeedups{declare, figures};

}  // namespace polyattn::bench::polynomial
