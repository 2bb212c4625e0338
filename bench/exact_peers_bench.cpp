// The exact engine against other people's softmax attention on one thread: every peer in turns with us, cell by cell.
// Answers are compared before anything is timed. A ratio is the peer's time over ours.

#include "exact/inputs.hpp"
#include "peers/peer.hpp"
#include "support/driver.hpp"
#include "support/memory.hpp"
#include "support/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace polyattn::bench {

namespace {

using peers::Cell;
using peers::Found;
using peers::Kind;
using peers::Peer;

constexpr int kPairs = 11;
constexpr std::int64_t kCheckedRows = 32;
constexpr double kAgreement = 1e-4;  // of the largest output: other questions, not other roundings
constexpr const char* kPeers[] = {"openblas", "pytorch", "onnxruntime"};

struct NamedCell {
  const char* name;
  Cell cell;
};

constexpr NamedCell kCells[] = {
    {"peers/plain/d64/n2048/heads8", {8, 2048, 64, Kind::plain}},
    {"peers/plain/d64/n8192", {1, 8192, 64, Kind::plain}},
    {"peers/plain/d128/n2048/heads8", {8, 2048, 128, Kind::plain}},
    {"peers/plain/d128/n8192", {1, 8192, 128, Kind::plain}},
    {"peers/causal/d64/n2048/heads8", {8, 2048, 64, Kind::causal}},
    {"peers/causal/d64/n8192", {1, 8192, 64, Kind::causal}},
    {"peers/causal/d128/n2048/heads8", {8, 2048, 128, Kind::causal}},
    {"peers/causal/d128/n8192", {1, 8192, 128, Kind::causal}},
    {"peers/padding/d64/n2048/heads8", {8, 2048, 64, Kind::padding}},
    {"peers/padding/d64/n8192", {1, 8192, 64, Kind::padding}},
    {"peers/padding/d128/n2048/heads8", {8, 2048, 128, Kind::padding}},
    {"peers/padding/d128/n8192", {1, 8192, 128, Kind::padding}},
};

std::vector<Found> find_peers() {
  std::vector<Found> found;
  found.push_back(peers::find_blocked_gemm());
  found.push_back(peers::find_python_peer("pytorch"));
  found.push_back(peers::find_python_peer("onnxruntime"));
  return found;
}

std::vector<Found>& all_peers() {
  static std::vector<Found> once = find_peers();
  return once;
}

/// Our side of a cell.
struct Ours {
  explicit Ours(const Cell& cell) : inputs(exact::square(cell.n, cell.d, cell.heads)), problem(inputs.problem()) {
    if (cell.kind == Kind::causal) problem.options.mask.visibility.causal = Causal::upper_left;
    if (cell.kind == Kind::padding) {
      hidden.assign(static_cast<std::size_t>(cell.n), 0.0F);
      std::fill(hidden.begin() + peers::visible_keys(cell), hidden.end(), -std::numeric_limits<float>::infinity());
      problem.options.mask.key_bias = {bias(hidden.data(), cell.n)};
    }
  }

  exact::Inputs<float> inputs;
  std::vector<float> hidden;
  Problem problem;
};

/// Whether the peer was asked the same question; NaN differs.
void check_agreement(const Peer& peer, const std::vector<float>& theirs, const std::vector<float>& ours) {
  double largest = 0.0;
  for (const float x : ours) largest = std::max(largest, static_cast<double>(std::abs(x)));
  for (std::size_t i = 0; i < ours.size(); ++i) {
    if (!(std::abs(static_cast<double>(theirs[i]) - static_cast<double>(ours[i])) <= kAgreement * largest)) {
      throw std::runtime_error(peer.name() + " has another answer");
    }
  }
}

struct Samples {
  std::vector<double> seconds;
  std::vector<double> ratios;
};

void measure(benchmark::State& state, const Cell& cell) {
  Ours ours(cell);
  const AllocationWatch watch;
  const Report report = attend_into(ours.problem, ours.inputs.output());
  const std::int64_t peak = watch.peak();
  const double error = measured_error(ours.problem, ours.inputs.output(), kCheckedRows);

  std::vector<Peer*> present;
  for (const Found& found : all_peers()) {
    if (found.peer == nullptr) continue;
    present.push_back(found.peer.get());
    found.peer->prepare(cell, {ours.inputs.q(), ours.inputs.k(), ours.inputs.v()});
    found.peer->run();
    check_agreement(*found.peer, found.peer->output(), ours.inputs.answer());
    set_counter(state, found.name + "_bytes", found.peer->memory());
  }

  const auto run_ours = [&] {
    return seconds_of([&] { benchmark::DoNotOptimize(attend_into(ours.problem, ours.inputs.output())); });
  };
  std::vector<double> seconds;
  std::vector<Samples> samples(present.size());
  std::size_t turn = 0;
  for (auto _ : state) {
    double own = 0.0;
    for (std::size_t i = 0; i < present.size(); ++i) {
      // Who goes first changes from turn to turn.
      const double before = turn % 2 == 0 ? run_ours() : 0.0;
      const double theirs = present[i]->run();
      own = turn % 2 == 0 ? before : run_ours();
      samples[i].seconds.push_back(theirs);
      samples[i].ratios.push_back(theirs / own);
      seconds.push_back(own);
    }
    state.SetIterationTime(own);
    ++turn;
  }
  set_counter(state, "median_seconds", median(seconds));
  set_counter(state, "allocated_bytes", static_cast<double>(peak));
  for (std::size_t i = 0; i < present.size(); ++i) {
    set_counter(state, present[i]->name() + "_median_seconds", median(samples[i].seconds));
    set_counter(state, present[i]->name() + "_ratio", median(samples[i].ratios));
  }
  describe_case(state, ours.problem, report, error);
}

void declare() {
  for (const Found& found : all_peers()) {
    benchmark::AddCustomContext("peer_" + found.name, found.peer ? found.peer->version() : "absent: " + found.why_not);
  }
  for (const NamedCell& which : kCells) {
    declare_case(which.name, repetitions(kPairs), [&which](benchmark::State& state) { measure(state, which.cell); });
  }
}

void figures(const Rows& rows, Figures& figures) {
  for (const std::string peer : kPeers) {
    double sum = 0.0;
    double least = std::numeric_limits<double>::infinity();
    int count = 0;
    for (const NamedCell& which : kCells) {
      const std::optional<double> ratio = rows.value(which.name, peer + "_ratio");
      figures.add(figure_name(which.name) + "_" + peer, ratio, "x");
      if (!ratio) continue;
      sum += std::log(*ratio);
      least = std::min(least, *ratio);
      ++count;
    }
    if (count == 0) continue;
    figures.add("peers_" + peer + "_least", least, "x");
    figures.add("peers_" + peer + "_geometric_mean", std::exp(sum / count), "x");
  }
}

}  // namespace

}  // namespace polyattn::bench

int main(int argc, char** argv) {
  return polyattn::bench::run_driver(argc, argv, {1, polyattn::bench::declare, polyattn::bench::figures});
}
