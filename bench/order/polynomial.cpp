// The planner's choice at order 3 and above, planning included, where scores are bounded: over exact, extrapolated from
// rows; how time grows with the number of keys; what a causal mask costs. Queries and keys uniform in [-1, 1], values
// that depend on the keys, float32, one thread.

#include "order/parts.hpp"
#include "support/case.hpp"
#include "support/data.hpp"
#include "support/driver.hpp"
#include "support/exact_time.hpp"
#include "support/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace polyattn::bench::order {

namespace {

constexpr std::int64_t kDim = 16;
constexpr double kScale = 1.0 / 16.0;
constexpr double kTolerance = 1e-3;  ///< of the value range
constexpr double kFrequency = 3.0;
constexpr int kPairs = 11;

/// A self-attention problem of any order: queries, key sets and values, all of n rows.
class Bounded {
 public:
  Bounded(std::size_t order, std::int64_t n, double scale, double tolerance)
      : n_(n), q_(uniform_tokens<float>(n, kDim, -1.0, 1.0, 1)), output_(static_cast<std::size_t>(n * kDim)) {
    const Spread spread{0.0, std::sqrt(1.0 / 3.0)};
    for (std::size_t s = 0; s + 1 < order; ++s) {
      k_.push_back(uniform_tokens<float>(n, kDim, -1.0, 1.0, 2 + s));
      v_.push_back(values_of_keys<float>(k_.back(), kDim, kDim, spread, kFrequency, 20 + s));
    }
    options.score = Dot{scale};
    options.tolerance = {tolerance, ToleranceKind::of_value_range};
    options.threads = 1;
  }

  /// The first rows of all queries, or of all n as many of everything.
  Report attend(std::int64_t queries, std::int64_t keys, const Options& how) {
    Destinations out;
    out.output = tensor(output_.data(), {1, 1, queries, kDim});
    return attend_into(out, view(q_, queries), views(k_, keys), views(v_, keys), how);
  }
  Report attend_all(std::int64_t n, const Options& how) { return attend(n, n, how); }

  /// Largest |output - truth| of some rows, the truth from exact in float64.
  [[nodiscard]] double error(std::int64_t rows) const {
    const std::vector<std::int64_t> which = random_rows(rows, n_, 7);
    const Result truth = attend_rows(view(q_, n_), views(k_, n_), views(v_, n_), which, options);
    const auto* exact = static_cast<const double*>(truth.output.data());
    double worst = 0.0;
    for (std::size_t r = 0; r < which.size(); ++r) {
      for (std::size_t c = 0; c < kDim; ++c) {
        const double got = static_cast<double>(output_[static_cast<std::size_t>(which[r]) * kDim + c]);
        const double error = std::fabs(got - exact[r * kDim + c]);
        worst = error <= worst ? worst : error;  // a NaN stays
      }
    }
    return worst;
  }

  Options options;

 private:
  static ConstView view(const std::vector<float>& data, std::int64_t rows) {
    return tensor(data.data(), {1, 1, rows, kDim});
  }
  static std::vector<ConstView> views(const std::vector<std::vector<float>>& sets, std::int64_t rows) {
    std::vector<ConstView> out;
    for (const std::vector<float>& set : sets) out.push_back(view(set, rows));
    return out;
  }

  std::int64_t n_;
  std::vector<float> q_;
  std::vector<std::vector<float>> k_, v_;
  std::vector<float> output_;
};

void describe(benchmark::State& state, std::size_t order, std::int64_t n, const Report& report) {
  const HeadReport& head = report.heads.front();
  set_counter(state, "order", static_cast<double>(order));
  set_counter(state, "n", static_cast<double>(n));
  set_counter(state, "d", kDim);
  set_counter(state, "degree", head.degree);
  set_counter(state, "rank", static_cast<double>(head.rank));
  set_counter(state, "rows_polynomial", static_cast<double>(head.rows_polynomial));
  set_counter(state, "rows_exact", static_cast<double>(head.rows_exact));
  set_counter(state, "tolerance", head.tolerance);
  set_counter(state, "value_range", head.value_range);
  set_counter(state, "bound", head.certificate.bound());
  set_counter(state, "mean_answer_error", head.mean_answer_error);
  set_counter(state, "mean_answer_error_over_tolerance", head.mean_answer_error / head.tolerance);
  set_counter(state, "planning_seconds", report.planning_seconds);
  set_counter(state, "reported_peak_bytes", static_cast<double>(report.peak_bytes));
  state.SetLabel(std::string(name_of(head.engine)) + " " + name_of(head.arithmetic));
}

struct SpeedCase {
  const char* name;
  std::size_t order;
  std::int64_t n;
  double scale;
  double tolerance;
  std::int64_t few;      ///< rows that exact is timed for; 0: it would take minutes for one
  std::int64_t many;     ///< likewise
  std::int64_t checked;  ///< rows whose error is measured
  double goal;           ///< times faster than exact; 0: none is set
};
constexpr SpeedCase kSpeedCases[] = {
    {"order/polynomial/n4096", 3, 4096, kScale, kTolerance, 8, 32, 8, 1e4},
    {"order/polynomial/n16384", 3, 16'384, kScale, kTolerance, 2, 6, 2, 1.5e5},
    // The tightest tolerance that the mean of the values, which errs by some 1.2e-3 of the range, misses tenfold.
    {"order/polynomial/steep/n4096", 3, 4096, 0.25, 1.2e-4, 8, 32, 8, 0.0},
    {"order/polynomial/order4/n4096", 4, 4096, kScale, kTolerance, 0, 0, 0, 0.0},
    {"order/polynomial/order5/n4096", 5, 4096, kScale, kTolerance, 0, 0, 0, 0.0}};

void measure_speed(benchmark::State& state, const SpeedCase& which) {
  Bounded inputs(which.order, which.n, which.scale, which.tolerance);
  const Report report = inputs.attend_all(which.n, inputs.options);
  if (which.checked > 0) set_counter(state, "measured_error", inputs.error(which.checked));
  std::optional<ExactTime> exact;
  if (which.many > 0) {
    exact.emplace([&](std::int64_t rows, const Options& options) { return inputs.attend(rows, which.n, options); },
                  inputs.options, ExactTime::Rows{which.few, which.many, which.n});
    set_counter(state, "exact_bits", exact->head().arithmetic == Arithmetic::float32 ? 32.0 : 64.0);
    set_counter(state, "exact_bound", exact->head().certificate.bound());
  }
  std::vector<double> own;
  std::vector<double> ratios;
  std::vector<double> all_exact;
  for (auto _ : state) {
    own.push_back(seconds_of([&] { benchmark::DoNotOptimize(inputs.attend_all(which.n, inputs.options)); }));
    state.SetIterationTime(own.back());
    if (!exact) continue;
    all_exact.push_back(exact->seconds());
    ratios.push_back(all_exact.back() / own.back());
  }
  set_counter(state, "median_seconds", median(own));
  if (which.many > 0) {
    set_counter(state, "exact_extrapolated_seconds", median(all_exact));
    set_counter(state, "speedup", median(ratios));
  }
  if (which.goal > 0.0) set_counter(state, "goal", which.goal);
  describe(state, which.order, which.n, report);
}

constexpr const char* kGrowth = "order/polynomial/growth";
constexpr std::int64_t kSteps[] = {4096, 8192, 16'384, 32'768, 65'536};

void measure_growth(benchmark::State& state) {
  const std::int64_t most = kSteps[std::size(kSteps) - 1];
  Bounded inputs(3, most, kScale, kTolerance);
  const Report report = inputs.attend_all(most, inputs.options);
  std::vector<std::vector<double>> seconds(std::size(kSteps));
  for (auto _ : state) {
    for (std::size_t i = 0; i < std::size(kSteps); ++i) {
      seconds[i].push_back(seconds_of([&] { inputs.attend_all(kSteps[i], inputs.options); }));
    }
    state.SetIterationTime(seconds.back().back());
  }
  double worst = 0.0;
  for (std::size_t i = 0; i < std::size(kSteps); ++i) {
    set_counter(state, "median_seconds_" + std::to_string(kSteps[i]), median(seconds[i]));
    if (i == 0) continue;
    std::vector<double> ratios;
    for (std::size_t r = 0; r < seconds[i].size(); ++r) ratios.push_back(seconds[i][r] / seconds[i - 1][r]);
    set_counter(state, "doubling_to_" + std::to_string(kSteps[i]), median(ratios));
    worst = std::max(worst, median(ratios));
  }
  set_counter(state, "largest_doubling", worst);
  describe(state, 3, most, report);
}

struct CausalCase {
  const char* name;
  std::int64_t n;
};
constexpr CausalCase kCausalCases[] = {{"order/polynomial/causal/n4096", 4096},
                                       {"order/polynomial/causal/n65536", 65'536}};

void measure_causal(benchmark::State& state, const CausalCase& which) {
  Bounded inputs(3, which.n, kScale, kTolerance);
  Options causal = inputs.options;
  causal.mask.visibility.causal = Causal::upper_left;
  const Report report = inputs.attend_all(which.n, causal);
  inputs.attend_all(which.n, inputs.options);
  std::vector<double> ratios;
  std::vector<double> own;
  for (auto _ : state) {
    const auto [masked, plain] = seconds_of_pair(
        ratios.size(), [&] { inputs.attend_all(which.n, causal); },
        [&] { inputs.attend_all(which.n, inputs.options); });
    ratios.push_back(masked / plain);
    own.push_back(masked);
    state.SetIterationTime(masked);
  }
  set_counter(state, "median_seconds", median(own));
  set_counter(state, "over_without", median(ratios));
  describe(state, 3, which.n, report);
}

void declare() {
  for (const SpeedCase& which : kSpeedCases) {
    declare_case(which.name, repetitions(kPairs), [&which](benchmark::State& state) { measure_speed(state, which); });
  }
  declare_case(kGrowth, repetitions(kPairs), measure_growth);
  for (const CausalCase& which : kCausalCases) {
    declare_case(which.name, repetitions(kPairs), [&which](benchmark::State& state) { measure_causal(state, which); });
  }
}

void figures(const Rows& rows, Figures& figures) {
  for (const SpeedCase& which : kSpeedCases) {
    figures.add_median(figure_name(which.name) + "_seconds", rows.all(which.name, "median_seconds"), "s");
    if (which.many > 0) {
      figures.add_median(figure_name(which.name) + "_over_exact", rows.all(which.name, "speedup"), "x");
    }
  }
  figures.add_median("order_polynomial_largest_doubling", rows.all(kGrowth, "largest_doubling"), "x");
  for (const CausalCase& which : kCausalCases) {
    figures.add_median(figure_name(which.name) + "_over_without", rows.all(which.name, "over_without"), "x");
  }
}

}  // namespace

const Part kPolynomial{declare, figures};

}  // namespace polyattn::bench::order
