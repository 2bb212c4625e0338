// Few queries over many keys: what counts is how fast keys and values come from main memory. Calls go round several
// copies of them, more than any cache holds, so that none is left over from the call before.

#include "exact/inputs.hpp"
#include "exact/parts.hpp"
#include "support/driver.hpp"
#include "support/fma_peak.hpp"
#include "support/huge_pages.hpp"
#include "support/read_bandwidth.hpp"
#include "support/statistics.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace polyattn::bench::exact {

namespace {

constexpr int kRepetitions = 30;
constexpr std::int64_t kKeys = 100'000;
constexpr std::size_t kBytesOfCopies = std::size_t{512} << 20;

struct DecodeCase {
  const char* name;
  std::int64_t queries;
  std::int64_t d;
  DType storage = DType::float32;
  int threads = 1;
};

constexpr DecodeCase kCases[] = {
    {"exact/decode/d64/queries1", 1, 64},
    {"exact/decode/d128/queries1", 1, 128},
    {"exact/decode/d64/queries1/threads2", 1, 64, DType::float32, 2},
    {"exact/decode/d128/queries1/threads2", 1, 128, DType::float32, 2},
    {"exact/decode/bfloat16/d64/queries1", 1, 64, DType::bfloat16},
    {"exact/decode/bfloat16/d128/queries1", 1, 128, DType::bfloat16},
    {"exact/decode/float16/d64/queries1", 1, 64, DType::float16},
    {"exact/decode/float16/d128/queries1", 1, 128, DType::float16},
    {"exact/decode/d64/queries2", 2, 64},
    {"exact/decode/d64/queries4", 4, 64},
    {"exact/decode/d64/queries8", 8, 64},
    {"exact/decode/d64/queries16", 16, 64},
    {"exact/decode/d128/queries2", 2, 128},
    {"exact/decode/d128/queries4", 4, 128},
    {"exact/decode/d128/queries8", 8, 128},
    {"exact/decode/d128/queries16", 16, 128},
};

/// What a call has to read.
double bytes_of(const DecodeCase& which) {
  return static_cast<double>(kKeys * 2 * which.d) * static_cast<double>(size_of(which.storage));
}

double flops_of(const DecodeCase& which) { return 4.0 * static_cast<double>(which.queries * kKeys * which.d); }

/// Copies of one set of keys and one of values. Memory of the same kind as that whose bandwidth is measured.
class Copies {
 public:
  explicit Copies(const DecodeCase& which)
      : storage_(which.storage),
        shape_{1, 1, kKeys, which.d},
        bytes_(static_cast<std::size_t>(kKeys * which.d) * size_of(which.storage)),
        count_(std::max<std::size_t>(2, kBytesOfCopies / (2 * bytes_))),
        memory_(2 * bytes_ * count_) {
    for (std::size_t part = 0; part < 2; ++part) write(normal_tokens<float>(kKeys, which.d, 2 + part), place(0, part));
    for (std::size_t copy = 1; copy < count_; ++copy) std::memcpy(place(copy, 0), place(0, 0), 2 * bytes_);
  }

  [[nodiscard]] ConstView keys(std::size_t call) const { return view(call, 0); }
  [[nodiscard]] ConstView values(std::size_t call) const { return view(call, 1); }

 private:
  [[nodiscard]] std::byte* place(std::size_t copy, std::size_t part) const {
    return memory_.bytes().data() + (2 * copy + part) * bytes_;
  }
  [[nodiscard]] ConstView view(std::size_t call, std::size_t part) const {
    return {place(call % count_, part), storage_, shape_, contiguous_strides(shape_)};
  }
  void write(const std::vector<float>& tokens, std::byte* to) const {
    if (storage_ == DType::float32) {
      std::memcpy(to, tokens.data(), bytes_);
      return;
    }
    std::vector<std::uint16_t> rounded(tokens.size());
    std::transform(tokens.begin(), tokens.end(), rounded.begin(),
                   storage_ == DType::bfloat16 ? to_bfloat16 : to_float16);
    std::memcpy(to, rounded.data(), bytes_);
  }

  DType storage_;
  Shape shape_;
  std::size_t bytes_;
  std::size_t count_;
  HugePages memory_;
};

void measure(benchmark::State& state, const DecodeCase& which) {
  const Copies copies(which);
  const std::vector<float> q = normal_tokens<float>(which.queries, which.d, 1);
  std::vector<float> output(q.size());
  const View out = matrix(output.data(), which.queries, which.d);
  Problem problem{matrix(q.data(), which.queries, which.d), copies.keys(0), copies.values(0), {}};
  problem.options.engine = Engine::exact;
  problem.options.threads = which.threads;
  const Report report = attend_into(problem, out);
  const double error = measured_error(problem, out, which.queries);
  read_bandwidth(which.threads);

  std::vector<double> seconds;
  std::vector<double> bandwidths;
  std::vector<double> peaks;
  for (auto _ : state) {
    bandwidths.push_back(read_bandwidth(which.threads));
    peaks.push_back(fma_peak<float>());
    problem.keys = copies.keys(seconds.size() + 1);
    problem.values = copies.values(seconds.size() + 1);
    seconds.push_back(seconds_of([&] { benchmark::DoNotOptimize(attend_into(problem, out)); }));
    state.SetIterationTime(seconds.back());
  }
  set_counter(state, "best_seconds", lowest(seconds));
  set_counter(state, "median_seconds", median(seconds));
  set_counter(state, "gigabytes_per_second", bytes_of(which) / lowest(seconds) * 1e-9);
  set_counter(state, "read_bandwidth", highest(bandwidths) * 1e-9);
  set_counter(state, "read_bandwidth_median", median(bandwidths) * 1e-9);
  set_counter(state, "fma_peak_gflops", highest(peaks) * 1e-9);
  describe_case(state, problem, report, error);
  state.SetLabel("exact float32 " + report.instruction_set + ", stored in " + name_of(which.storage));
}

void declare() {
  for (const DecodeCase& which : kCases) {
    if (which.threads > static_cast<int>(std::thread::hardware_concurrency())) continue;
    declare_case(which.name, repetitions(kRepetitions), [&which](benchmark::State& state) { measure(state, which); });
  }
}

/// The best of a counter each process has seen in any case with so many threads.
std::vector<double> best_of(const Rows& rows, const char* counter, int threads) {
  std::vector<double> best;
  for (const DecodeCase& which : kCases) {
    if (which.threads != threads) continue;
    const std::vector<double> values = rows.all(which.name, counter);
    best.resize(std::max(best.size(), values.size()));
    for (std::size_t i = 0; i < values.size(); ++i) best[i] = std::max(best[i], values[i]);
  }
  return best;
}

/// The time it would take at full bandwidth or full multiply-add rate, whichever is longer, over the time it took.
std::vector<double> shares_of_roofline(const Rows& rows, const DecodeCase& which) {
  const std::vector<double> bandwidths = best_of(rows, "read_bandwidth", which.threads);
  const std::vector<double> peaks = best_of(rows, "fma_peak_gflops", which.threads);
  std::vector<double> shares = rows.all(which.name, "best_seconds");
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const double reading = bytes_of(which) / bandwidths[i] * 1e-9;
    const double computing = flops_of(which) / (peaks[i] * which.threads) * 1e-9;
    shares[i] = 100.0 * std::max(reading, computing) / shares[i];
  }
  return shares;
}

void figures(const Rows& rows, Figures& figures) {
  figures.add_best("read_bandwidth_one_thread", best_of(rows, "read_bandwidth", 1), "GB/s");
  figures.add_best("read_bandwidth_two_threads", best_of(rows, "read_bandwidth", 2), "GB/s");
  for (const DecodeCase& which : kCases) {
    // With one query there are at most 2 operations a byte: reading is what takes time.
    const char* suffix = which.queries == 1 ? "_share_of_bandwidth" : "_share_of_roofline";
    figures.add_best(figure_name(which.name) + suffix, shares_of_roofline(rows, which), "%");
  }
}

}  // namespace

const Part kDecoding{declare, figures};

}  // namespace polyattn::bench::exact
