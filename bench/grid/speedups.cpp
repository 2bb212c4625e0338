// Kernel smoothing by whole calls, planning included, the engine chosen by the planner, against the fastest exact
// arithmetic that certifies the same tolerance.

#include "grid/against_exact.hpp"
#include "grid/parts.hpp"

#include <cstdint>

namespace polyattn::bench::grid {

namespace {

using polynomial::Cloud;

struct SpeedupCase {
  const char* name;
  std::int64_t n;
  std::int64_t d;
  double steepness;  ///< L
  double goal;       ///< speed-up
  Cloud cloud = Cloud::unit_cube;
};

constexpr std::int64_t kFew = 100'000;
constexpr std::int64_t kMany = 1'000'000;

constexpr SpeedupCase kCases[] = {
    {"grid/speedup/n1e5_d2_L100", kFew, 2, 100.0, 220.0},
    {"grid/speedup/n1e5_d3_L100", kFew, 3, 100.0, 85.0},
    {"grid/speedup/n1e5_d3_L100_clustered", kFew, 3, 100.0, 85.0, Cloud::clusters},
    {"grid/speedup/n1e6_d2_L10000", kMany, 2, 10'000.0, 800.0},
    {"grid/speedup/n1e6_d3_L100", kMany, 3, 100.0, 900.0},
    {"grid/speedup/n1e6_d3_L1000", kMany, 3, 1'000.0, 450.0},
    {"grid/speedup/n1e6_d4_L100", kMany, 4, 100.0, 180.0},
};

void measure(benchmark::State& state, const SpeedupCase& which) {
  measure_against_exact(state, {which.n, which.d, 1, which.cloud, which.steepness, kTolerance, kFrequency},
                        Engine::automatic);
  set_counter(state, "goal", which.goal);
}

void declare() {
  for (const SpeedupCase& which : kCases) {
    declare_case(which.name, repetitions(kPairs), [&which](benchmark::State& state) { measure(state, which); });
  }
}

void figures(const Rows& rows, Figures& figures) {
  for (const SpeedupCase& which : kCases) {
    add_figures(rows, which.name, figures);
    figures.add(figure_name(which.name) + "_goal", rows.value(which.name, "goal"), "x");
  }
}

}  // namespace

const Part kSpeedups{declare, figures};

}  // namespace polyattn::bench::grid
