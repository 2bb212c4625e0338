// What executing a plan takes against what the cost model predicts: exact and polynomials over dimensions, degrees,
// lengths and arithmetics, on one thread. Processor time, which other jobs on the core lengthen less than time on the
// clock. bench/fit_costs.py fits the model's constants to the rows.

#include "polynomial/inputs.hpp"
#include "support/driver.hpp"
#include "support/statistics.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

namespace polyattn::bench {

namespace {

using polynomial::Cloud;
using polynomial::Inputs;
using polynomial::Setting;

constexpr double kSeconds = 0.03;  // a case is executed for so long
constexpr int kLeast = 3;
constexpr std::int64_t kExactDims[] = {2, 8, 32, 128};
constexpr std::int64_t kExactLengths[] = {100, 512, 3072};
constexpr std::int64_t kValueDims[] = {1, 16, 64};
constexpr std::int64_t kLengths[] = {2048, 8192};
struct Degrees {
  std::int64_t d;
  int degree;
};
constexpr Degrees kDegrees[] = {{2, 2}, {2, 8}, {2, 20}, {3, 5},  {3, 12}, {5, 3},  {5, 6},  {8, 2},
                                {8, 4}, {8, 5}, {16, 1}, {16, 3}, {32, 1}, {32, 2}, {64, 2}, {128, 1}};
constexpr Arithmetic kArithmetics[] = {Arithmetic::float32, Arithmetic::float64};

struct Case {
  Setting setting;
  Engine engine = Engine::exact;
  Arithmetic arithmetic = Arithmetic::float32;
  int degree = -1;
  bool causal = false;
};

std::string name_of_case(const Case& c) {
  std::string name = std::string("costs/") + name_of(c.engine) + "/" + name_of(c.arithmetic) + "/n" +
                     std::to_string(c.setting.n) + "_d" + std::to_string(c.setting.d) + "_v" +
                     std::to_string(c.setting.d_v);
  if (c.degree >= 0) name += "_g" + std::to_string(c.degree);
  if (c.setting.cloud == Cloud::unit_cube) name += "_gaussian";
  if (c.causal) name += "_causal";
  return name;
}

template <class T>
void measure(benchmark::State& state, const Case& which) {
  Inputs<T> inputs(which.setting);
  Problem problem = inputs.problem(which.engine);
  problem.options.arithmetic = which.arithmetic;
  problem.options.tolerance = {1e30, ToleranceKind::absolute};
  if (which.degree >= 0) problem.options.degree = which.degree;
  if (which.causal) problem.options.mask.visibility.causal = Causal::lower_right;
  const View output = inputs.output();
  const Plan plan = polyattn::plan(problem.q, std::array{problem.keys}, std::array{problem.values}, problem.options);
  Destinations destinations;
  destinations.output = output;
  Report report = plan.execute(destinations);
  std::vector<double> seconds;
  for (auto _ : state) {
    double total = 0.0;
    while (static_cast<int>(seconds.size()) < repetitions(kLeast) || total < kSeconds) {
      const std::clock_t start = std::clock();
      report = plan.execute(destinations);
      seconds.push_back(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
      total += seconds.back();
    }
    state.SetIterationTime(lowest(seconds));
  }
  const HeadReport& head = report.heads.front();
  set_counter(state, "float64", which.arithmetic == Arithmetic::float64 ? 1.0 : 0.0);
  set_counter(state, "polynomial", which.engine == Engine::polynomial ? 1.0 : 0.0);
  set_counter(state, "gaussian", which.setting.cloud == Cloud::unit_cube ? 1.0 : 0.0);
  set_counter(state, "causal", which.causal ? 1.0 : 0.0);
  set_counter(state, "n", static_cast<double>(which.setting.n));
  set_counter(state, "d", static_cast<double>(which.setting.d));
  set_counter(state, "d_v", static_cast<double>(which.setting.d_v));
  set_counter(state, "degree", which.degree);
  set_counter(state, "rank", static_cast<double>(head.rank));
  set_counter(state, "seconds", lowest(seconds));
  set_counter(state, "predicted_seconds", head.predicted_seconds);
  set_counter(state, "rows_handed_over",
              which.engine == Engine::polynomial ? static_cast<double>(head.rows_exact) : 0.0);
}

std::vector<Case> cases() {
  std::vector<Case> out;
  for (const Arithmetic arithmetic : kArithmetics) {
    for (const std::int64_t d_v : kValueDims) {
      for (const std::int64_t d : kExactDims) {
        for (const std::int64_t n : kExactLengths) {
          for (const bool gaussian : {false, true}) {
            Case c{{n, d, d_v, gaussian ? Cloud::unit_cube : Cloud::cube, 1.0 / static_cast<double>(d)}};
            c.arithmetic = arithmetic;
            out.push_back(c);
            if (!gaussian && n == kExactLengths[2]) {
              c.causal = true;
              out.push_back(c);
            }
          }
        }
      }
      for (const Degrees& degrees : kDegrees) {
        for (const std::int64_t n : kLengths) {
          Case c{{n, degrees.d, d_v, Cloud::cube, 1.0 / static_cast<double>(degrees.d)}};
          c.engine = Engine::polynomial;
          c.arithmetic = arithmetic;
          c.degree = degrees.degree;
          out.push_back(c);
          if (n == kLengths[1] && degrees.degree <= 4) {
            c.causal = true;
            out.push_back(c);
          }
        }
      }
    }
  }
  return out;
}

void declare() {
  for (const Case& which : cases()) {
    declare_case(name_of_case(which), 1, [which](benchmark::State& state) {
      which.arithmetic == Arithmetic::float32 ? measure<float>(state, which) : measure<double>(state, which);
    });
  }
}

/// Measured over predicted: the middle, and what a twentieth of the cases is beyond, either way.
void figures(const Rows& rows, Figures& figures) {
  for (const bool polynomial : {false, true}) {
    std::vector<double> ratios;
    for (const Json& row : rows.json()) {
      if (row.contains("predicted_seconds") && (row["polynomial"].get<double>() != 0.0) == polynomial) {
        ratios.push_back(row["seconds"].get<double>() / row["predicted_seconds"].get<double>());
      }
    }
    if (ratios.empty()) continue;
    std::sort(ratios.begin(), ratios.end());
    const auto at = [&](double share) {
      return ratios[static_cast<std::size_t>(share * static_cast<double>(ratios.size() - 1))];
    };
    const std::string name = std::string("costs_") + (polynomial ? "polynomial" : "exact");
    figures.add(name + "_ratio_5", at(0.05), "");
    figures.add(name + "_ratio_50", at(0.5), "");
    figures.add(name + "_ratio_95", at(0.95), "");
  }
}

}  // namespace

}  // namespace polyattn::bench

int main(int argc, char** argv) {
  return polyattn::bench::run_driver(argc, argv, {1, polyattn::bench::declare, polyattn::bench::figures});
}
