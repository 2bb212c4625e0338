// How time grows with the number of points, and how little with the bandwidth: in every round all steps are timed, up
// and down in turns; slopes and ratios are medians over rounds. By the planner, and by the grid asked for by name.

#include "grid/against_exact.hpp"
#include "grid/parts.hpp"
#include "polynomial/outcome.hpp"
#include "support/statistics.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace polyattn::bench::grid {

namespace {

using polynomial::Cloud;

constexpr int kRounds = 11;

struct Run {
  const char* name;
  Engine engine;
};

// Against n: 2^15 to 2^21 points, as many queries, d = 3, L = 100.
constexpr Run kInPoints[] = {{"grid/growth/points/auto", Engine::automatic}, {"grid/growth/points/grid", Engine::grid}};
constexpr int kFirst = 15;
constexpr int kLast = 21;
constexpr std::int64_t kDim = 3;
constexpr double kSteepness = 100.0;

// Against L: a million points, d = 2.
constexpr Run kInSteepness[] = {{"grid/growth/steepness/auto", Engine::automatic},
                                {"grid/growth/steepness/grid", Engine::grid}};
constexpr double kSteps[] = {10.0, 30.0, 100.0, 300.0, 1'000.0, 3'000.0, 10'000.0};
constexpr std::int64_t kPoints = 1'000'000;
constexpr std::int64_t kFlatDim = 2;

struct Step {
  std::string name;  ///< behind the counters' names
  Problem problem;
};

/// Slope of y against x by least squares.
double slope(const std::vector<double>& x, const std::vector<double>& y) {
  const auto count = static_cast<double>(x.size());
  double x_sum = 0.0;
  double y_sum = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    x_sum += x[i];
    y_sum += y[i];
  }
  double products = 0.0;
  double squares = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    products += (x[i] - x_sum / count) * (y[i] - y_sum / count);
    squares += (x[i] - x_sum / count) * (x[i] - x_sum / count);
  }
  return products / squares;
}

/// Seconds of every step in every round, [round][step].
std::vector<std::vector<double>> time_rounds(benchmark::State& state, const std::vector<Step>& steps, View output) {
  std::vector<std::vector<double>> rounds;
  for (auto _ : state) {
    std::vector<double> round(steps.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const std::size_t at = rounds.size() % 2 == 0 ? i : steps.size() - 1 - i;
      const Problem& problem = steps[at].problem;
      output.shape[2] = problem.q.shape[2];
      round[at] = seconds_of([&] { benchmark::DoNotOptimize(attend_into(problem, output)); });
    }
    state.SetIterationTime(round.back());
    rounds.push_back(std::move(round));
  }
  return rounds;
}

/// Every step once, before the rounds: which engine answers it, and how many rows that leaves to exact.
void look_at(benchmark::State& state, const std::vector<Step>& steps, View output) {
  for (const Step& step : steps) {
    output.shape[2] = step.problem.q.shape[2];
    const Report report = attend_into(step.problem, output);
    const HeadReport& head = report.heads.front();
    set_counter(state, "rows_grid_" + step.name, static_cast<double>(head.rows_grid));
    set_counter(state, "rows_polynomial_" + step.name, static_cast<double>(head.rows_polynomial));
    set_counter(state, "rows_exact_" + step.name, static_cast<double>(head.rows_exact));
    set_counter(state, "bound_over_tolerance_" + step.name, head.certificate.bound() / head.tolerance);
  }
  output.shape[2] = steps.back().problem.q.shape[2];
  polynomial::describe(state, steps.back().problem, output);
}

void write_seconds(benchmark::State& state, const std::vector<Step>& steps,
                   const std::vector<std::vector<double>>& rounds) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    std::vector<double> seconds;
    seconds.reserve(rounds.size());
    for (const std::vector<double>& round : rounds) seconds.push_back(round[i]);
    set_counter(state, "median_seconds_" + steps[i].name, median(seconds));
  }
}

void measure_points(benchmark::State& state, Engine engine) {
  const std::int64_t most = std::int64_t{1} << kLast;
  polynomial::Inputs<double> inputs({most, kDim, 1, Cloud::unit_cube, kSteepness, kTolerance, kFrequency});
  std::vector<Step> steps;
  std::vector<double> logs;
  for (int log = kFirst; log <= kLast; ++log) {
    const std::int64_t n = std::int64_t{1} << log;
    steps.push_back({"2^" + std::to_string(log), inputs.problem(n, n, engine)});
    logs.push_back(log);
  }
  look_at(state, steps, inputs.output());
  const std::vector<std::vector<double>> rounds = time_rounds(state, steps, inputs.output());
  std::vector<double> slopes;
  for (const std::vector<double>& round : rounds) {
    std::vector<double> log_seconds;
    log_seconds.reserve(round.size());
    for (const double seconds : round) log_seconds.push_back(std::log2(seconds));
    slopes.push_back(slope(logs, log_seconds));
  }
  write_seconds(state, steps, rounds);
  set_counter(state, "slope", median(slopes));
}

void measure_steepness(benchmark::State& state, Engine engine) {
  polynomial::Inputs<double> inputs({kPoints, kFlatDim, 1, Cloud::unit_cube, kSteps[0], kTolerance, kFrequency});
  std::vector<Step> steps;
  for (const double steepness : kSteps) {
    steps.push_back({"L" + std::to_string(static_cast<int>(steepness)), inputs.problem(engine)});
    steps.back().problem.options.score = polynomial::gaussian_of(kFlatDim, steepness);
  }
  look_at(state, steps, inputs.output());
  const std::vector<std::vector<double>> rounds = time_rounds(state, steps, inputs.output());
  std::vector<double> spreads;
  spreads.reserve(rounds.size());
  for (const std::vector<double>& round : rounds) spreads.push_back(highest(round) / lowest(round));
  write_seconds(state, steps, rounds);
  set_counter(state, "largest_over_smallest", median(spreads));
}

void declare() {
  for (const Run& run : kInPoints) {
    declare_case(run.name, repetitions(kRounds),
                 [&run](benchmark::State& state) { measure_points(state, run.engine); });
  }
  for (const Run& run : kInSteepness) {
    declare_case(run.name, repetitions(kRounds),
                 [&run](benchmark::State& state) { measure_steepness(state, run.engine); });
  }
}

void figures(const Rows& rows, Figures& figures) {
  for (const Run& run : kInPoints)
    figures.add(figure_name(run.name) + "_slope", rows.value(run.name, "slope"), "exponent");
  for (const Run& run : kInSteepness) {
    figures.add(figure_name(run.name) + "_largest_over_smallest", rows.value(run.name, "largest_over_smallest"), "x");
  }
}

}  // namespace

const Part kGrowth{declare, figures};

}  // namespace polyattn::bench::grid
