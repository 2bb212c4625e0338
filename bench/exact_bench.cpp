// The exact engine on one thread against what one core can do: operations counted as 2 (d + d_v) per score,
// exponentials not counted, as a share of the multiply-add peak of the same arithmetic measured between the
// repetitions.

#include "support/case.hpp"
#include "support/data.hpp"
#include "support/driver.hpp"
#include "support/fma_peak.hpp"
#include "support/statistics.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace polyattn::bench {

namespace {

constexpr int kRepetitions = 20;
constexpr std::int64_t kCheckedRows = 32;

struct ExactCase {
  const char* name;
  std::int64_t n;
  std::int64_t d;
  std::int64_t d_v;
  Causal causal;
  bool gaussian;
};

constexpr ExactCase kFloat32Cases[] = {
    {"exact/float32/d64/n4096", 4096, 64, 64, Causal::none, false},
    {"exact/float32/d64/n2048", 2048, 64, 64, Causal::none, false},
    {"exact/float32/d64/n8192", 8192, 64, 64, Causal::none, false},
    {"exact/float32/d128/n4096", 4096, 128, 128, Causal::none, false},
    {"exact/float32/causal/d64/n8192", 8192, 64, 64, Causal::upper_left, false},
    {"exact/float32/gaussian/d5/n16384", 16384, 5, 3, Causal::none, true},
};
constexpr ExactCase kFloat64Cases[] = {
    {"exact/float64/d64/n4096", 4096, 64, 64, Causal::none, false},
};

/// Scores that have to be evaluated: the lower triangle where causal.
double pairs_of(const ExactCase& which) {
  const auto n = static_cast<double>(which.n);
  return which.causal == Causal::none ? n * n : n * (n + 1.0) / 2.0;
}

template <class T>
void measure(benchmark::State& state, const ExactCase& which) {
  const std::vector<T> q = normal_tokens<T>(which.n, which.d, 1);
  const std::vector<T> k = normal_tokens<T>(which.n, which.d, 2);
  const std::vector<T> v = normal_tokens<T>(which.n, which.d_v, 3);
  Problem problem{
      matrix(q.data(), which.n, which.d), matrix(k.data(), which.n, which.d), matrix(v.data(), which.n, which.d_v), {}};
  problem.options.engine = Engine::exact;
  problem.options.threads = 1;
  problem.options.mask.visibility.causal = which.causal;
  if (which.gaussian) problem.options.score = Gaussian{{1.0}};

  const Result result = attend(problem);  // warms up as well
  const double error = textbook_error(problem, result.output.view(), kCheckedRows);
  fma_peak<T>();

  std::vector<double> seconds;
  std::vector<double> peaks;
  for (auto _ : state) {
    peaks.push_back(fma_peak<T>());
    seconds.push_back(seconds_of([&] { benchmark::DoNotOptimize(attend(problem)); }));
    state.SetIterationTime(seconds.back());
  }
  const double best = lowest(seconds);
  const double peak = highest(peaks);
  const double flops = 2.0 * pairs_of(which) * static_cast<double>(which.d + which.d_v);
  set_counter(state, "best_seconds", best);
  set_counter(state, "median_seconds", median(seconds));
  set_counter(state, "gflops", flops / best * 1e-9);
  set_counter(state, "fma_peak_gflops", peak * 1e-9);
  set_counter(state, "fma_peak_median_gflops", median(peaks) * 1e-9);
  set_counter(state, "gigapairs_per_second", pairs_of(which) / best * 1e-9);
  describe_case(state, problem, result.report, error);
}

void declare() {
  for (const ExactCase& which : kFloat32Cases) {
    declare_case(which.name, kRepetitions, [&which](benchmark::State& state) { measure<float>(state, which); });
  }
  for (const ExactCase& which : kFloat64Cases) {
    declare_case(which.name, kRepetitions, [&which](benchmark::State& state) { measure<double>(state, which); });
  }
}

std::string figure_name(const ExactCase& which) {
  std::string name = which.name;
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

/// The best peak each process has seen in any case of this arithmetic: on a machine with other work the bursts beside
/// one case may all have been disturbed, which would flatter its share.
template <std::size_t N>
std::vector<double> peaks_of(const Rows& rows, const ExactCase (&cases)[N]) {
  std::vector<double> best;
  for (const ExactCase& which : cases) {
    const std::vector<double> peaks = rows.all(which.name, "fma_peak_gflops");
    best.resize(std::max(best.size(), peaks.size()));
    for (std::size_t i = 0; i < peaks.size(); ++i) best[i] = std::max(best[i], peaks[i]);
  }
  return best;
}

void add_share(Figures& figures, const std::string& name, const std::vector<double>& gflops,
               const std::vector<double>& peaks) {
  std::vector<double> shares;
  for (std::size_t i = 0; i < gflops.size(); ++i) shares.push_back(100.0 * gflops[i] / peaks[i]);
  figures.add_best(name, shares, "%");
}

void figures(const Rows& rows, Figures& figures) {
  const std::vector<double> peaks32 = peaks_of(rows, kFloat32Cases);
  const std::vector<double> peaks64 = peaks_of(rows, kFloat64Cases);
  figures.add_best("fma_peak_float32", peaks32, "GFLOP/s");
  figures.add_best("fma_peak_float64", peaks64, "GFLOP/s");
  for (const ExactCase& which : kFloat32Cases) {
    if (which.gaussian) {
      figures.add_best(figure_name(which) + "_pairs", rows.all(which.name, "gigapairs_per_second"), "Gpairs/s");
    } else {
      add_share(figures, figure_name(which) + "_share_of_peak", rows.all(which.name, "gflops"), peaks32);
    }
  }
  for (const ExactCase& which : kFloat64Cases) {
    add_share(figures, figure_name(which) + "_share_of_peak", rows.all(which.name, "gflops"), peaks64);
  }
}

}  // namespace

}  // namespace polyattn::bench

int main(int argc, char** argv) {
  return polyattn::bench::run_driver(argc, argv, {3, polyattn::bench::declare, polyattn::bench::figures});
}
