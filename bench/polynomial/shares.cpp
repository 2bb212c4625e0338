// One thread against what one core can do: 4 n r (d_v + 1) operations for n keys and n queries, every one of r features
// times d_v values and the denominator, as a share of the multiply-add peak of the same arithmetic measured between the
// repetitions. What is timed is the execution of a plan; planning stands beside it.

#include "polynomial/inputs.hpp"
#include "polynomial/outcome.hpp"
#include "polynomial/parts.hpp"
#include "support/driver.hpp"
#include "support/fma_peak.hpp"
#include "support/statistics.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace polyattn::bench::polynomial {

namespace {

constexpr int kRepetitions = 20;
constexpr std::int64_t kLength = std::int64_t{1} << 16;
constexpr std::int64_t kCheckedRows = 64;
/// So large that whatever the degree no row goes to exact.
constexpr Tolerance kAnything{1e30, ToleranceKind::absolute};

/// r = C(d + g, g), which the names repeat.
struct Features {
  std::int64_t d;
  int degree;
  const char* name;
};
constexpr Features kFeatures[] = {
    {8, 4, "d8_g4_r495"},   {5, 6, "d5_g6_r462"},  {3, 13, "d3_g13_r560"}, {5, 7, "d5_g7_r792"},
    {16, 3, "d16_g3_r969"}, {5, 9, "d5_g9_r2002"}, {8, 6, "d8_g6_r3003"},
};
constexpr std::int64_t kValueDims[] = {64, 4, 1};
constexpr Arithmetic kArithmetics[] = {Arithmetic::float32, Arithmetic::float64};

std::string group_name(Arithmetic arithmetic, std::int64_t d_v) {
  return std::string("polynomial/share/") + name_of(arithmetic) + "/v" + std::to_string(d_v);
}

std::string case_name(Arithmetic arithmetic, std::int64_t d_v, const Features& features) {
  return group_name(arithmetic, d_v) + "/" + features.name;
}

Report execute(const Plan& plan, const View& output) {
  Destinations destinations;
  destinations.output = output;
  return plan.execute(destinations);
}

template <class T>
void measure(benchmark::State& state, std::int64_t d_v, const Features& features) {
  // Scores within [-1, 1].
  Inputs<T> inputs({kLength, features.d, d_v, Cloud::cube, 1.0 / static_cast<double>(features.d)});
  Problem problem = inputs.problem(Engine::polynomial);
  problem.options.tolerance = kAnything;
  problem.options.degree = features.degree;
  problem.options.arithmetic = sizeof(T) == sizeof(float) ? Arithmetic::float32 : Arithmetic::float64;

  const Report report = attend_into(problem, inputs.output());  // warms up as well
  const HeadReport& head = report.heads.front();
  if (head.rows_polynomial != kLength || head.degree != features.degree) {
    throw std::runtime_error("not every row was answered by the polynomial of the degree asked for");
  }
  const double error = measured_error(problem, inputs.output(), kCheckedRows);
  std::optional<Plan> plan;
  const double plan_seconds = seconds_of(
      [&] { plan = polyattn::plan(problem.q, std::array{problem.keys}, std::array{problem.values}, problem.options); });
  fma_peak<T>();

  std::vector<double> seconds;
  std::vector<double> peaks;
  for (auto _ : state) {
    peaks.push_back(fma_peak<T>());
    seconds.push_back(seconds_of([&] { benchmark::DoNotOptimize(execute(*plan, inputs.output())); }));
    state.SetIterationTime(seconds.back());
  }
  const double best = lowest(seconds);
  const double flops = 4.0 * static_cast<double>(kLength * head.rank * (d_v + 1));
  set_counter(state, "best_seconds", best);
  set_counter(state, "median_seconds", median(seconds));
  set_counter(state, "plan_seconds", plan_seconds);  // with every candidate and what mean(V) costs
  set_counter(state, "gflops", flops / best * 1e-9);
  set_counter(state, "fma_peak_gflops", highest(peaks) * 1e-9);
  set_counter(state, "fma_peak_median_gflops", median(peaks) * 1e-9);
  describe_case(state, problem, report, error);
  state.SetLabel(name_of_answer(head) + " " + report.instruction_set);
}

template <class Visit>
void for_each_case(Arithmetic arithmetic, Visit&& visit) {
  for (const std::int64_t d_v : kValueDims) {
    for (const Features& features : kFeatures) visit(case_name(arithmetic, d_v, features), d_v, features);
  }
}

void declare() {
  for (const Arithmetic arithmetic : kArithmetics) {
    for_each_case(arithmetic, [&](const std::string& name, std::int64_t d_v, const Features& features) {
      declare_case(name, repetitions(kRepetitions), [arithmetic, d_v, &features](benchmark::State& state) {
        arithmetic == Arithmetic::float32 ? measure<float>(state, d_v, features)
                                          : measure<double>(state, d_v, features);
      });
    });
  }
}

/// The best peak each process has seen in any case of this arithmetic.
std::vector<double> peaks_of(const Rows& rows, Arithmetic arithmetic) {
  std::vector<double> best;
  for_each_case(arithmetic, [&](const std::string& name, std::int64_t /*d_v*/, const Features& /*features*/) {
    const std::vector<double> peaks = rows.all(name, "fma_peak_gflops");
    best.resize(std::max(best.size(), peaks.size()));
    for (std::size_t i = 0; i < peaks.size(); ++i) best[i] = std::max(best[i], peaks[i]);
  });
  return best;
}

void figures(const Rows& rows, Figures& figures) {
  for (const Arithmetic arithmetic : kArithmetics) {
    const std::vector<double> peaks = peaks_of(rows, arithmetic);
    figures.add_best(std::string("polynomial_fma_peak_") + name_of(arithmetic), peaks, "GFLOP/s");
    for (const std::int64_t d_v : kValueDims) {
      std::optional<double> least;
      for (const Features& features : kFeatures) {
        const std::string name = case_name(arithmetic, d_v, features);
        std::vector<double> shares = rows.all(name, "gflops");
        for (std::size_t i = 0; i < shares.size(); ++i) shares[i] *= 100.0 / peaks[i];
        figures.add_best(figure_name(name), shares, "%");
        if (!shares.empty()) least = std::min(least.value_or(100.0), highest(shares));
      }
      figures.add(figure_name(group_name(arithmetic, d_v)) + "_least", least, "%");
    }
  }
}

}  // namespace

const Part kShares{declare, figures};

}  // namespace polyattn::bench::polynomial
