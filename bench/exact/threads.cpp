// Two threads against one, on one head and on several.

#include "exact/inputs.hpp"
#include "exact/parts.hpp"
#include "support/driver.hpp"
#include "support/statistics.hpp"

#include <thread>
#include <vector>

namespace polyattn::bench::exact {

namespace {

constexpr int kPairs = 21;
constexpr std::int64_t kCheckedRows = 32;

struct ThreadCase {
  const char* name;
  Sizes sizes;
  bool causal;
};

constexpr ThreadCase kCases[] = {
    {"exact/two_threads/d64/n8192", square(8192, 64), false},
    {"exact/two_threads/d64/n2048/heads8", square(2048, 64, 8), false},
    {"exact/two_threads/causal/d64/n8192", square(8192, 64), true},
};

void measure(benchmark::State& state, const ThreadCase& which) {
  Inputs<float> inputs(which.sizes);
  Problem one = inputs.problem();
  if (which.causal) one.options.mask.visibility.causal = Causal::upper_left;
  Problem two = one;
  two.options.threads = 2;
  attend_into(one, inputs.output());
  const Report report = attend_into(two, inputs.output());
  const Deviation deviation = textbook_error(two, inputs.output(), kCheckedRows);

  std::vector<double> ones;
  std::vector<double> twos;
  std::vector<double> ratios;
  for (auto _ : state) {
    const auto [single, both] = seconds_of_pair(
        ratios.size(), [&] { benchmark::DoNotOptimize(attend_into(one, inputs.output())); },
        [&] { benchmark::DoNotOptimize(attend_into(two, inputs.output())); });
    ones.push_back(single);
    twos.push_back(both);
    ratios.push_back(single / both);
    state.SetIterationTime(both);
  }
  set_counter(state, "one_thread_median_seconds", median(ones));
  set_counter(state, "median_seconds", median(twos));
  set_counter(state, "ratio", median(ratios));
  describe_case(state, two, report, deviation.error);
}

void declare() {
  if (std::thread::hardware_concurrency() < 2) return;
  for (const ThreadCase& which : kCases) {
    declare_case(which.name, repetitions(kPairs), [&which](benchmark::State& state) { measure(state, which); });
  }
}

void figures(const Rows& rows, Figures& figures) {
  for (const ThreadCase& which : kCases) {
    figures.add_median(figure_name(which.name) + "_speedup", rows.all(which.name, "ratio"), "x");
  }
}

}  // namespace

const Part kThreads{declare, figures};

}  // namespace polyattn::bench::exact
