// One thread against what one core can do: operations counted as 2 (d + d_v) per score, exponentials not counted, as a
// share of the multiply-add peak of the same arithmetic and register width measured between the repetitions.

#include "exact/inputs.hpp"
#include "exact/parts.hpp"
#include "support/driver.hpp"
#include "support/fma_peak.hpp"
#include "support/statistics.hpp"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace polyattn::bench::exact {

namespace {

constexpr int kRepetitions = 20;
constexpr std::int64_t kCheckedRows = 64;

/// Cases whose shares are of the same peak.
enum class Group { float32, float32_avx2, float64 };

struct ShareCase {
  const char* name;
  Sizes sizes;
  Group group = Group::float32;
  bool causal = false;
  bool gaussian = false;
};

constexpr ShareCase kCases[] = {
    {"exact/float32/d64/n2048", square(2048, 64), Group::float32},
    {"exact/float32/d64/n4096", square(4096, 64), Group::float32},
    {"exact/float32/d64/n8192", square(8192, 64), Group::float32},
    {"exact/float32/d128/n2048", square(2048, 128), Group::float32},
    {"exact/float32/d128/n4096", square(4096, 128), Group::float32},
    {"exact/float32/d128/n8192", square(8192, 128), Group::float32},
    {"exact/float32/causal/d64/n8192", square(8192, 64), Group::float32, true},
    {"exact/float32/causal/d128/n8192", square(8192, 128), Group::float32, true},
    {"exact/float32/d256/n2048", square(2048, 256), Group::float32},
    {"exact/float32/d512/n2048", square(2048, 512), Group::float32},
    {"exact/float32/gaussian/d5/n16384", {16384, 5, 3}, Group::float32, false, true},
    {"exact/float32/avx2/d64/n4096", square(4096, 64), Group::float32_avx2},
    {"exact/float32/avx2/d128/n4096", square(4096, 128), Group::float32_avx2},
    {"exact/float64/d64/n4096", square(4096, 64), Group::float64},
};

struct PeakFigure {
  Group group;
  const char* name;
};
constexpr PeakFigure kPeakFigures[] = {{Group::float32, "fma_peak_float32"},
                                       {Group::float32_avx2, "fma_peak_float32_256_bits"},
                                       {Group::float64, "fma_peak_float64"}};

/// The kernels of one instruction set for as long as this lives: the library reads the environment at every call.
class ForcedInstructionSet {
 public:
  explicit ForcedInstructionSet(const char* name) {
    if (const char* before = std::getenv(kVariable)) before_ = before;
    setenv(kVariable, name, 1);
  }
  ForcedInstructionSet(const ForcedInstructionSet&) = delete;
  ForcedInstructionSet& operator=(const ForcedInstructionSet&) = delete;
  ~ForcedInstructionSet() {
    if (before_.empty()) {
      unsetenv(kVariable);
    } else {
      setenv(kVariable, before_.c_str(), 1);
    }
  }

 private:
  static constexpr const char* kVariable = "POLYATTN_ISA";
  std::string before_;
};

bool has_avx2() {
  const std::vector<const char*> sets = instruction_sets();
  return std::any_of(sets.begin(), sets.end(), [](const char* name) { return std::string_view(name) == "avx2"; });
}

/// Scores that have to be evaluated: the lower triangle where causal.
double pairs_of(const ShareCase& which) {
  const auto n = static_cast<double>(which.sizes.n);
  return which.causal ? n * (n + 1.0) / 2.0 : n * n;
}

template <class T>
void measure(benchmark::State& state, const ShareCase& which) {
  Inputs<T> inputs(which.sizes);
  Problem problem = inputs.problem();
  if (which.causal) problem.options.mask.visibility.causal = Causal::upper_left;
  if (which.gaussian) problem.options.score = Gaussian{{1.0}};
  const FmaWidth width = which.group == Group::float32_avx2 ? FmaWidth::bits_256 : FmaWidth::widest;

  const Report report = attend_into(problem, inputs.output());  // warms up as well
  const Deviation deviation = textbook_error(problem, inputs.output(), kCheckedRows);
  fma_peak<T>(width);

  std::vector<double> seconds;
  std::vector<double> peaks;
  for (auto _ : state) {
    peaks.push_back(fma_peak<T>(width));
    seconds.push_back(seconds_of([&] { benchmark::DoNotOptimize(attend_into(problem, inputs.output())); }));
    state.SetIterationTime(seconds.back());
  }
  const double best = lowest(seconds);
  const double flops = 2.0 * pairs_of(which) * static_cast<double>(which.sizes.d + which.sizes.d_v);
  set_counter(state, "best_seconds", best);
  set_counter(state, "median_seconds", median(seconds));
  set_counter(state, "gflops", flops / best * 1e-9);
  set_counter(state, "fma_peak_gflops", highest(peaks) * 1e-9);
  set_counter(state, "fma_peak_median_gflops", median(peaks) * 1e-9);
  set_counter(state, "gigapairs_per_second", pairs_of(which) / best * 1e-9);
  describe_case(state, problem, report, deviation.error);
  // How float32 on standard normal data compares with others, who state their errors so.
  if (!which.gaussian && which.group != Group::float64) {
    set_counter(state, "relative_error", deviation.error / deviation.largest);
  }
}

void measure_case(benchmark::State& state, const ShareCase& which) {
  if (which.group == Group::float64) {
    measure<double>(state, which);
  } else if (which.group == Group::float32_avx2) {
    const ForcedInstructionSet forced("avx2");
    measure<float>(state, which);
  } else {
    measure<float>(state, which);
  }
}

void declare() {
  for (const ShareCase& which : kCases) {
    if (which.group == Group::float32_avx2 && !has_avx2()) continue;
    declare_case(which.name, repetitions(kRepetitions),
                 [&which](benchmark::State& state) { measure_case(state, which); });
  }
}

/// The best peak each process has seen in any case of the group: on a machine with other work the bursts beside one
/// case may all have been disturbed, which would flatter its share.
std::vector<double> peaks_of(const Rows& rows, Group group) {
  std::vector<double> best;
  for (const ShareCase& which : kCases) {
    if (which.group != group) continue;
    const std::vector<double> peaks = rows.all(which.name, "fma_peak_gflops");
    best.resize(std::max(best.size(), peaks.size()));
    for (std::size_t i = 0; i < peaks.size(); ++i) best[i] = std::max(best[i], peaks[i]);
  }
  return best;
}

std::vector<double> shares_of(const std::vector<double>& gflops, const std::vector<double>& peaks) {
  std::vector<double> shares;
  for (std::size_t i = 0; i < gflops.size(); ++i) shares.push_back(100.0 * gflops[i] / peaks[i]);
  return shares;
}

void figures(const Rows& rows, Figures& figures) {
  for (const PeakFigure& peak : kPeakFigures) figures.add_best(peak.name, peaks_of(rows, peak.group), "GFLOP/s");
  for (const ShareCase& which : kCases) {
    if (which.gaussian) {
      figures.add_best(figure_name(which.name) + "_pairs", rows.all(which.name, "gigapairs_per_second"), "Gpairs/s");
    } else {
      figures.add_best(figure_name(which.name) + "_share_of_peak",
                       shares_of(rows.all(which.name, "gflops"), peaks_of(rows, which.group)), "%");
    }
  }
}

}  // namespace

const Part kShares{declare, figures};

}  // namespace polyattn::bench::exact
