// Head sizes that are no multiple of what registers hold, against the straight line between their neighbours that are.

#include "exact/inputs.hpp"
#include "exact/parts.hpp"
#include "support/driver.hpp"
#include "support/statistics.hpp"

#include <array>
#include <cstddef>
#include <string>
#include <vector>

namespace polyattn::bench::exact {

namespace {

constexpr int kRepetitions = 20;
constexpr std::int64_t kCheckedRows = 32;
constexpr std::int64_t kLength = 4096;
constexpr const char* kCase = "exact/head_sizes/n4096";
constexpr std::array<std::int64_t, 6> kDims{32, 40, 64, 72, 96, 128};

/// Positions in kDims: the size in question and the two it is compared with.
struct Between {
  std::size_t odd;
  std::size_t below;
  std::size_t above;
};
constexpr Between kBetween[] = {{1, 0, 2}, {3, 2, 5}, {4, 2, 5}};

std::string suffix(std::size_t dim) { return "d" + std::to_string(kDims[dim]); }

/// Time over that of the interpolation, in one round of measurements.
double over_interpolation(const std::array<double, kDims.size()>& seconds, const Between& which) {
  const auto at = [](std::size_t dim) { return static_cast<double>(kDims[dim]); };
  const double along = (at(which.odd) - at(which.below)) / (at(which.above) - at(which.below));
  return seconds[which.odd] / (seconds[which.below] + along * (seconds[which.above] - seconds[which.below]));
}

void measure(benchmark::State& state) {
  std::vector<Inputs<float>> inputs;
  inputs.reserve(kDims.size());
  for (const std::int64_t dim : kDims) inputs.emplace_back(square(kLength, dim));
  for (Inputs<float>& one : inputs) attend_into(one.problem(), one.output());

  std::array<std::vector<double>, kDims.size()> seconds;
  std::array<std::vector<double>, std::size(kBetween)> ratios;
  for (auto _ : state) {
    std::array<double, kDims.size()> round{};
    double total = 0.0;
    for (std::size_t i = 0; i < kDims.size(); ++i) {
      const Problem problem = inputs[i].problem();
      round[i] = seconds_of([&] { benchmark::DoNotOptimize(attend_into(problem, inputs[i].output())); });
      seconds[i].push_back(round[i]);
      total += round[i];
    }
    for (std::size_t i = 0; i < ratios.size(); ++i) ratios[i].push_back(over_interpolation(round, kBetween[i]));
    state.SetIterationTime(total);
  }
  for (std::size_t i = 0; i < kDims.size(); ++i) set_counter(state, "median_seconds_" + suffix(i), median(seconds[i]));
  for (std::size_t i = 0; i < ratios.size(); ++i)
    set_counter(state, "ratio_" + suffix(kBetween[i].odd), median(ratios[i]));
  // The oddest of them speaks for all in the columns every row has.
  const Problem problem = inputs[1].problem();
  const Report report = attend_into(problem, inputs[1].output());
  describe_case(state, problem, report, textbook_error(problem, inputs[1].output(), kCheckedRows).error);
}

void declare() { declare_case(kCase, repetitions(kRepetitions), measure); }

void figures(const Rows& rows, Figures& figures) {
  for (const Between& which : kBetween) {
    figures.add_median("exact_" + suffix(which.odd) + "_over_interpolation",
                       rows.all(kCase, "ratio_" + suffix(which.odd)), "x");
  }
}

}  // namespace

const Part kHeadSizes{declare, figures};

}  // namespace polyattn::bench::exact
