// Exact attention of order 3 on one thread against what one core can do: operations counted as 2 (d + d_v) for each
// tuple a row sees, exponentials not counted, as a share of the multiply-add peak measured between the repetitions. And
// what a row takes where all rows would take hours.

#include "order/inputs.hpp"
#include "order/parts.hpp"
#include "support/case.hpp"
#include "support/driver.hpp"
#include "support/exact_time.hpp"
#include "support/fma_peak.hpp"
#include "support/statistics.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace polyattn::bench::order {

namespace {

constexpr int kRepetitions = 20;
constexpr int kRowRepetitions = 5;
constexpr std::int64_t kCheckedRows = 4;

struct ShareCase {
  const char* name;
  Sizes sizes;
  bool wide = false;  ///< float64
  bool causal = false;
  std::vector<std::int64_t> window{};
};

const std::vector<ShareCase>& share_cases() {
  static const std::vector<ShareCase> cases{
      {"order/exact/float32/d64/n512x512", {64, {512, 512}, 64, 64}},
      {"order/exact/float32/window512x32/d64/n8192", {8192, {8192, 8192}, 64, 64}, false, true, {512, 32}},
      {"order/exact/float32/causal/d64/n512", {512, {512, 512}, 64, 64}, false, true},
      {"order/exact/float32/d16/n512x512", {64, {512, 512}, 16, 16}},
      {"order/exact/float64/d64/n512x512", {64, {512, 512}, 64, 64}, true}};
  return cases;
}

/// Rows of problems too large for all of them, timed for two numbers of rows.
struct RowCase {
  const char* name;
  Sizes sizes;
  std::int64_t few;
  std::int64_t checked;  ///< rows whose error is measured
};
constexpr RowCase kRowCases[] = {{"order/exact/float32/d16/n4096", {8, {4096, 4096}, 16, 16}, 2, 1},
                                 {"order/exact/float32/d16/n16384", {2, {16384, 16384}, 16, 16}, 1, 0}};

template <class T>
void describe(benchmark::State& state, const Inputs<T>& inputs, const Report& report, std::int64_t checked) {
  const Sizes& sizes = inputs.sizes();
  double error = 0.0;
  for (const std::int64_t row : random_rows(checked, sizes.queries, 7)) error = std::max(error, inputs.error(row));
  set_counter(state, "n_q", static_cast<double>(sizes.queries));
  set_counter(state, "n_1", static_cast<double>(sizes.keys[0]));
  set_counter(state, "n_2", static_cast<double>(sizes.keys[1]));
  set_counter(state, "d", static_cast<double>(sizes.d));
  set_counter(state, "d_v", static_cast<double>(sizes.d_v));
  set_counter(state, "tuples", inputs.tuples());
  set_counter(state, "bound", report.heads.front().certificate.bound());
  if (checked > 0) set_counter(state, "measured_error", error);
}

template <class T>
void measure_share(benchmark::State& state, const ShareCase& which) {
  Inputs<T> inputs(which.sizes);
  if (which.causal) inputs.options.mask.visibility.causal = Causal::upper_left;
  inputs.options.mask.visibility.window = which.window;
  const Report report = inputs.attend_all();  // warms up as well
  fma_peak<T>(FmaWidth::widest);
  std::vector<double> seconds;
  std::vector<double> peaks;
  for (auto _ : state) {
    peaks.push_back(fma_peak<T>(FmaWidth::widest));
    seconds.push_back(seconds_of([&] { benchmark::DoNotOptimize(inputs.attend_all()); }));
    state.SetIterationTime(seconds.back());
  }
  const double best = lowest(seconds);
  const double flops = 2.0 * inputs.tuples() * static_cast<double>(which.sizes.d + which.sizes.d_v);
  set_counter(state, "best_seconds", best);
  set_counter(state, "median_seconds", median(seconds));
  set_counter(state, "gflops", flops / best * 1e-9);
  set_counter(state, "fma_peak_gflops", highest(peaks) * 1e-9);
  set_counter(state, "fma_peak_median_gflops", median(peaks) * 1e-9);
  describe(state, inputs, report, kCheckedRows);
}

void measure_rows(benchmark::State& state, const RowCase& which) {
  Inputs<float> inputs(which.sizes);
  const Report report = inputs.attend_first(which.few);
  Options single = inputs.options;
  single.arithmetic = Arithmetic::float32;
  const ExactTime exact(
      [&](std::int64_t rows, const Options& options) {
        inputs.options = options;
        return inputs.attend_first(rows);
      },
      single, {which.few, which.sizes.queries, which.sizes.keys[0]});
  std::vector<double> per_row;
  std::vector<double> all;
  for (auto _ : state) {
    const ExactTime::Seconds seconds = exact.measure();
    per_row.push_back(seconds.per_row);
    all.push_back(seconds.all);
    state.SetIterationTime(seconds.per_row);
  }
  set_counter(state, "median_seconds_per_row", median(per_row));
  set_counter(state, "extrapolated_seconds", median(all));
  describe(state, inputs, report, which.checked);
}

void declare() {
  for (const ShareCase& which : share_cases()) {
    declare_case(which.name, repetitions(kRepetitions), [&which](benchmark::State& state) {
      which.wide ? measure_share<double>(state, which) : measure_share<float>(state, which);
    });
  }
  for (const RowCase& which : kRowCases) {
    declare_case(which.name, repetitions(kRowRepetitions),
                 [&which](benchmark::State& state) { measure_rows(state, which); });
  }
}

/// The best peak each process has seen beside any case of this arithmetic.
std::vector<double> peaks_of(const Rows& rows, bool wide) {
  std::vector<double> best;
  for (const ShareCase& which : share_cases()) {
    if (which.wide != wide) continue;
    const std::vector<double> peaks = rows.all(which.name, "fma_peak_gflops");
    best.resize(std::max(best.size(), peaks.size()));
    for (std::size_t i = 0; i < peaks.size(); ++i) best[i] = std::max(best[i], peaks[i]);
  }
  return best;
}

void figures(const Rows& rows, Figures& figures) {
  for (const ShareCase& which : share_cases()) {
    const std::vector<double> peaks = peaks_of(rows, which.wide);
    std::vector<double> shares;
    for (const double gflops : rows.all(which.name, "gflops")) {
      shares.push_back(100.0 * gflops / peaks[shares.size()]);
    }
    figures.add_best(figure_name(which.name) + "_share_of_peak", shares, "%");
  }
  for (const RowCase& which : kRowCases) {
    figures.add_median(figure_name(which.name) + "_seconds_per_row", rows.all(which.name, "median_seconds_per_row"),
                       "s");
    figures.add_median(figure_name(which.name) + "_extrapolated", rows.all(which.name, "extrapolated_seconds"), "s");
  }
}

}  // namespace

const Part kExact{declare, figures};

}  // namespace polyattn::bench::order
