// How time and memory grow with the number of tokens: in every round all numbers of tokens are timed, downwards and
// upwards in turns; slopes and ratios are medians over rounds.

#include "polynomial/inputs.hpp"
#include "polynomial/outcome.hpp"
#include "polynomial/parts.hpp"
#include "support/driver.hpp"
#include "support/memory.hpp"
#include "support/statistics.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace polyattn::bench::polynomial {

namespace {

constexpr int kRounds = 11;
constexpr int kFirst = 15;  // log2 of the numbers of tokens
constexpr int kLast = 20;
constexpr std::size_t kSteps = kLast - kFirst + 1;

struct GrowthCase {
  const char* name;
  std::int64_t d_v;
  Engine engine;
};
constexpr GrowthCase kCases[] = {
    {"polynomial/growth/v64", 64, Engine::polynomial},
    {"polynomial/growth/v64/auto", 64, Engine::automatic},
    {"polynomial/growth/v1", 1, Engine::polynomial},
    {"polynomial/growth/v1/auto", 1, Engine::automatic},
};

std::int64_t tokens(std::size_t step) { return std::int64_t{1} << (kFirst + static_cast<int>(step)); }

std::string of_step(const char* counter, std::size_t step) {
  return std::string(counter) + "_2^" + std::to_string(kFirst + static_cast<int>(step));
}

/// Least squares of log2 seconds against log2 tokens.
double slope(const std::array<double, kSteps>& seconds) {
  constexpr double kMiddle = 0.5 * static_cast<double>(kSteps - 1);
  double products = 0.0;
  double squares = 0.0;
  for (std::size_t step = 0; step < kSteps; ++step) {
    const double along = static_cast<double>(step) - kMiddle;
    products += along * std::log2(seconds[step]);
    squares += along * along;
  }
  return products / squares;
}

std::int64_t peak_of(const Problem& problem, const View& output) {
  const AllocationWatch allocated;
  attend_into(problem, output);
  return allocated.peak();
}

void measure(benchmark::State& state, const GrowthCase& which) {
  Inputs<float> inputs({tokens(kSteps - 1), 8, which.d_v, Cloud::cube, 1.0 / 8, 1e-3, 1.0});
  std::array<Problem, kSteps> problems;
  for (std::size_t step = 0; step < kSteps; ++step) {
    problems[step] = inputs.problem(tokens(step), tokens(step), which.engine);
    const std::int64_t peak = peak_of(problems[step], inputs.output(tokens(step)));
    set_counter(state, of_step("peak_allocated_bytes", step), static_cast<double>(peak));
  }
  describe(state, problems.back(), inputs.output());

  std::array<std::vector<double>, kSteps> seconds;
  std::array<std::vector<double>, kSteps> ratios;  // to half as many tokens
  std::vector<double> slopes;
  for (auto _ : state) {
    std::array<double, kSteps> round{};
    for (std::size_t i = 0; i < kSteps; ++i) {
      const std::size_t step = slopes.size() % 2 == 0 ? i : kSteps - 1 - i;
      round[step] =
          seconds_of([&] { benchmark::DoNotOptimize(attend_into(problems[step], inputs.output(tokens(step)))); });
    }
    for (std::size_t step = 0; step < kSteps; ++step) {
      seconds[step].push_back(round[step]);
      if (step > 0) ratios[step].push_back(round[step] / round[step - 1]);
    }
    slopes.push_back(slope(round));
    state.SetIterationTime(round.back());
  }
  set_counter(state, "slope", median(slopes));
  for (std::size_t step = 0; step < kSteps; ++step) {
    set_counter(state, of_step("median_seconds", step), median(seconds[step]));
    set_counter(state, of_step("ratio_to_half", step), median(ratios[step]));
  }
}

void declare() {
  for (const GrowthCase& which : kCases) {
    declare_case(which.name, repetitions(kRounds), [&which](benchmark::State& state) { measure(state, which); });
  }
}

void figures(const Rows& rows, Figures& figures) {
  for (const GrowthCase& which : kCases) {
    const std::string name = figure_name(which.name);
    figures.add_median(name + "_slope", rows.all(which.name, "slope"), "exponent");
    for (std::size_t step = 1; step < kSteps; ++step) {
      figures.add_median(of_step((name + "_doubling").c_str(), step),
                         rows.all(which.name, of_step("ratio_to_half", step)), "x");
    }
    const auto grown = difference(rows.value(which.name, of_step("peak_allocated_bytes", kSteps - 1)),
                                  rows.value(which.name, of_step("peak_allocated_bytes", 0)));
    figures.add(name + "_memory", ratio(grown, 1e6), "MB");
  }
}

}  // namespace

const Part kGrowth{declare, figures};

}  // namespace polyattn::bench::polynomial
