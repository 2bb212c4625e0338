#include "grid/against_exact.hpp"

#include "polynomial/outcome.hpp"
#include "support/exact_time.hpp"
#include "support/statistics.hpp"

#include <cstddef>
#include <utility>
#include <vector>

namespace polyattn::bench::grid {

namespace {

/// Pairs beyond this time repeat the last: with many rows left to exact a call takes minutes.
constexpr double kEnoughSeconds = 60.0;

}  // namespace

void measure_against_exact(benchmark::State& state, const polynomial::Setting& setting, Engine engine) {
  polynomial::Inputs<double> inputs(setting);
  const View output = inputs.output();
  const Problem problem = inputs.problem(engine);
  const ExactTime exact(problem, output);
  const Report report = polynomial::describe(state, problem, output);  // warms up as well

  std::vector<double> seconds;
  std::vector<double> exact_seconds;
  std::vector<double> speedups;
  double total = 0.0;
  for (auto _ : state) {
    if (seconds.empty() || total < kEnoughSeconds) {
      double of_exact = 0.0;
      const auto call = [&] { benchmark::DoNotOptimize(attend_into(problem, output)); };
      const auto call_exact = [&] { of_exact = exact.seconds(); };
      const double ours = seconds_of_pair(seconds.size(), call, call_exact).first;
      seconds.push_back(ours);
      exact_seconds.push_back(of_exact);
      speedups.push_back(of_exact / ours);
      total += ours;
    }
    state.SetIterationTime(seconds.back());
  }
  const HeadReport& head = report.heads.front();
  const auto rows = static_cast<double>(head.rows_total);
  const double tolerance = head.tolerance;
  set_counter(state, "pairs", static_cast<double>(seconds.size()));
  set_counter(state, "median_seconds", median(seconds));
  set_counter(state, "exact_seconds_extrapolated", median(exact_seconds));
  set_counter(state, "exact_rows_timed", static_cast<double>(exact.most_rows()));
  set_counter(state, "exact_bound", exact.head().certificate.bound());
  set_counter(state, "exact_bits", exact.head().arithmetic == Arithmetic::float32 ? 32 : 64);
  set_counter(state, "bound_over_tolerance", head.certificate.bound() / tolerance);
  set_counter(state, "measured_error_over_tolerance", state.counters["measured_error"] / tolerance);
  set_counter(state, "grid_rows_percent", 100.0 * static_cast<double>(head.rows_grid) / rows);
  set_counter(state, "exact_rows_percent", 100.0 * static_cast<double>(head.rows_exact) / rows);
  set_counter(state, "speedup", median(speedups));
  state.SetLabel(polynomial::name_of_answer(head) + " against " + polynomial::name_of_answer(exact.head()) + ", " +
                 report.instruction_set);
}

void add_figures(const Rows& rows, const std::string& case_name, Figures& figures) {
  constexpr std::pair<const char*, const char*> kCounters[] = {{"speedup", "x"},
                                                               {"mean_answer_error_over_tolerance", "x"},
                                                               {"bound_over_tolerance", "x"},
                                                               {"measured_error_over_tolerance", "x"},
                                                               {"grid_rows_percent", "%"},
                                                               {"exact_rows_percent", "%"}};
  for (const auto& [counter, unit] : kCounters) {
    figures.add(figure_name(case_name) + "_" + counter, rows.value(case_name, counter), unit);
  }
}

}  // namespace polyattn::bench::grid
