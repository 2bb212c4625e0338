// What a causal mask costs the polynomial engine: the same inputs with and without it, in turns, at equal threads.

#include "polynomial/inputs.hpp"
#include "polynomial/outcome.hpp"
#include "polynomial/parts.hpp"
#include "support/driver.hpp"
#include "support/statistics.hpp"

#include <cstdint>
#include <thread>
#include <vector>

namespace polyattn::bench::polynomial {

namespace {

constexpr int kPairs = 11;
constexpr std::int64_t kLength = std::int64_t{1} << 17;

constexpr Setting eight(std::int64_t heads) { return {kLength, 8, 64, Cloud::cube, 1.0 / 8, 1e-3, 1.0, heads}; }
constexpr Setting three(std::int64_t heads) { return {kLength, 3, 1, Cloud::unit_cube, 10.0, 1e-4, 3.0, heads}; }

struct CausalCase {
  const char* name;
  Setting setting;
  int threads;
};
constexpr CausalCase kCases[] = {
    {"polynomial/causal/d8_v64", eight(1), 1},
    {"polynomial/causal/d8_v64/threads2_heads2", eight(2), 2},
    {"polynomial/causal/d8_v64/threads2", eight(1), 2},
    {"polynomial/causal/d3_v1", three(1), 1},
    {"polynomial/causal/d3_v1/threads2_heads2", three(2), 2},
    {"polynomial/causal/d3_v1/threads2", three(1), 2},
};

void measure(benchmark::State& state, const CausalCase& which) {
  Inputs<float> inputs(which.setting);
  Problem plain = inputs.problem(Engine::polynomial);
  plain.options.threads = which.threads;
  Problem causal = plain;
  causal.options.mask.visibility.causal = Causal::upper_left;
  const Report plain_report = attend_into(plain, inputs.output());  // warms up
  describe(state, causal, inputs.output());

  std::vector<double> plains;
  std::vector<double> causals;
  std::vector<double> ratios;
  for (auto _ : state) {
    const auto [without, with] = seconds_of_pair(
        ratios.size(), [&] { benchmark::DoNotOptimize(attend_into(plain, inputs.output())); },
        [&] { benchmark::DoNotOptimize(attend_into(causal, inputs.output())); });
    plains.push_back(without);
    causals.push_back(with);
    ratios.push_back(with / without);
    state.SetIterationTime(with);
  }
  set_counter(state, "plain_degree", plain_report.heads.front().degree);
  set_counter(state, "plain_median_seconds", median(plains));
  set_counter(state, "median_seconds", median(causals));
  set_counter(state, "ratio", median(ratios));
}

void declare() {
  for (const CausalCase& which : kCases) {
    if (which.threads > static_cast<int>(std::thread::hardware_concurrency())) continue;
    declare_case(which.name, repetitions(kPairs), [&which](benchmark::State& state) { measure(state, which); });
  }
}

void figures(const Rows& rows, Figures& figures) {
  for (const CausalCase& which : kCases) {
    figures.add_median(figure_name(which.name) + "_over_none", rows.all(which.name, "ratio"), "x");
  }
}

}  // namespace

const Part kCausal{declare, figures};

}  // namespace polyattn::bench::polynomial
