// Kernel smoothing against FINUFFT, whole calls of ours in turns with theirs, at the same measured error: that of ours
// is measured first, and theirs runs with the fastest settings found that err no more in the same rows. A ratio is the
// peer's time over ours.

#include "grid/against_exact.hpp"
#include "grid/parts.hpp"
#include "peers/finufft.hpp"
#include "polynomial/outcome.hpp"
#include "support/data.hpp"
#include "support/statistics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace polyattn::bench::grid {

namespace {

using polynomial::Cloud;

constexpr std::int64_t kCheckedRows = 500;
constexpr std::uint64_t kRowSeed = 77;

struct PeerCase {
  const char* name;
  std::int64_t n;
  std::int64_t d;
  double steepness;  ///< L
};

constexpr PeerCase kCases[] = {
    {"grid/peer/n1e5_d2_L100", 100'000, 2, 100.0},        {"grid/peer/n1e5_d3_L100", 100'000, 3, 100.0},
    {"grid/peer/n1e6_d2_L10000", 1'000'000, 2, 10'000.0}, {"grid/peer/n1e6_d3_L100", 1'000'000, 3, 100.0},
    {"grid/peer/n1e6_d3_L1000", 1'000'000, 3, 1'000.0},
};

peers::FoundFinufft& finufft() {
  static peers::FoundFinufft once = peers::find_finufft();
  return once;
}

/// Answers of exact in float64.
std::vector<double> truth_of(const Problem& problem, const std::vector<std::int64_t>& rows) {
  const Result truth =
      attend_rows(problem.q, std::array{problem.keys}, std::array{problem.values}, rows, problem.options);
  const auto* numbers = static_cast<const double*>(truth.output.view().data);
  return {numbers, numbers + rows.size()};
}

double largest_error(const View& output, const std::vector<std::int64_t>& rows, const std::vector<double>& truth) {
  const auto* numbers = static_cast<const double*>(output.data);
  double worst = 0.0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double error = std::abs(numbers[rows[i]] - truth[i]);
    if (std::isnan(error)) return error;
    worst = std::max(worst, error);
  }
  return worst;
}

struct Side {
  peers::Precision precision;
  std::string name;
  std::vector<double> seconds;
  std::vector<double> ratios;
};

void write_side(benchmark::State& state, const Side& side) {
  const peers::FinufftSettings settings = finufft().peer->settings(side.precision);
  set_counter(state, side.name + "_median_seconds", median(side.seconds));
  set_counter(state, side.name + "_ratio", median(side.ratios));
  set_counter(state, side.name + "_measured_error", settings.error);
  set_counter(state, side.name + "_eps", settings.eps);
  set_counter(state, side.name + "_modes", settings.modes);
  set_counter(state, side.name + "_period", settings.period);
  set_counter(state, side.name + "_bits", settings.bits);
  set_counter(state, side.name + "_upsampling", settings.upsampling);
}

void measure(benchmark::State& state, const PeerCase& which) {
  peers::Finufft& peer = *finufft().peer;
  polynomial::Inputs<double> inputs({which.n, which.d, 1, Cloud::unit_cube, which.steepness, kTolerance, kFrequency});
  const Problem problem = inputs.problem(Engine::automatic);
  const View output = inputs.output();
  const Report report = polynomial::describe(state, problem, output);

  peers::Smoothing same;
  same.n = which.n;
  same.d = which.d;
  same.bandwidth = std::get<Gaussian>(problem.options.score).bandwidth.front();
  same.q = static_cast<const double*>(problem.q.data);
  same.k = static_cast<const double*>(problem.keys.data);
  same.v = static_cast<const double*>(problem.values.data);
  same.rows = random_rows(kCheckedRows, which.n, kRowSeed);
  same.truth = truth_of(problem, same.rows);
  same.error = largest_error(output, same.rows, same.truth);
  set_counter(state, "measured_error_in_common_rows", same.error);
  peer.prepare(same);

  std::vector<double> seconds;
  std::array<Side, 2> sides{Side{peers::Precision::any, "finufft", {}, {}},
                            Side{peers::Precision::float64, "finufft_float64", {}, {}}};
  for (auto _ : state) {
    double ours = 0.0;
    for (Side& side : sides) {
      // The peer times itself, without the way there and back.
      double theirs = 0.0;
      ours = seconds_of_pair(
                 side.seconds.size(), [&] { benchmark::DoNotOptimize(attend_into(problem, output)); },
                 [&] { theirs = peer.run(side.precision); })
                 .first;
      seconds.push_back(ours);
      side.seconds.push_back(theirs);
      side.ratios.push_back(theirs / ours);
    }
    state.SetIterationTime(ours);
  }
  set_counter(state, "median_seconds", median(seconds));
  for (const Side& side : sides) write_side(state, side);
  state.SetLabel(polynomial::name_of_answer(report.heads.front()) + " " + report.instruction_set);
}

void declare() {
  const peers::FoundFinufft& found = finufft();
  benchmark::AddCustomContext("peer_finufft", found.peer ? found.peer->version() : "absent: " + found.why_not);
  if (found.peer == nullptr) return;
  for (const PeerCase& which : kCases) {
    declare_case(which.name, repetitions(kPairs), [&which](benchmark::State& state) { measure(state, which); });
  }
}

void add_summary(const Rows& rows, const std::string& peer, Figures& figures) {
  double sum = 0.0;
  double least = std::numeric_limits<double>::infinity();
  std::size_t count = 0;
  for (const PeerCase& which : kCases) {
    const std::optional<double> ratio = rows.value(which.name, peer + "_ratio");
    figures.add(figure_name(which.name) + "_" + peer, ratio, "x");
    if (!ratio) continue;
    sum += std::log(*ratio);
    least = std::min(least, *ratio);
    ++count;
  }
  if (count == 0) return;
  figures.add("grid_peer_" + peer + "_least", least, "x");
  figures.add("grid_peer_" + peer + "_geometric_mean", std::exp(sum / static_cast<double>(count)), "x");
}

void figures(const Rows& rows, Figures& figures) {
  for (const PeerCase& which : kCases) {
    const std::string name = figure_name(which.name);
    figures.add(name + "_measured_error", rows.value(which.name, "measured_error_in_common_rows"), "absolute");
    figures.add(name + "_finufft_measured_error", rows.value(which.name, "finufft_measured_error"), "absolute");
  }
  for (const char* peer : {"finufft", "finufft_float64"}) add_summary(rows, peer, figures);
}

}  // namespace

const Part kPeers{declare, figures};

}  // namespace polyattn::bench::grid
