// Times of short calls, for the cost model. The only place where a clock decides something: what is handed to the
// caller, who may hand it to a plan.

#include "polyattn/calibration.hpp"

#include "planning/calibration.hpp"
#include "polyattn/attention.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace polyattn {
namespace {

using Clock = std::chrono::steady_clock;

/// A call is repeated for so long, and this often at least: the fastest counts.
constexpr double kSeconds = 0.015;
constexpr int kLeast = 3;
constexpr std::size_t kMemory = std::size_t{1} << 23;  // float64 numbers, more than caches hold

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// In [-1, 1], the same every time.
template <class T>
std::vector<T> numbers(std::int64_t count, std::uint32_t seed) {
  std::vector<T> out(static_cast<std::size_t>(count));
  std::uint32_t state = seed;
  for (T& x : out) {
    state = state * 1664525u + 1013904223u;
    x = static_cast<T>(static_cast<double>(state >> 8) * 0x1p-23 - 1.0);
  }
  return out;
}

template <class T>
double seconds_of(const planning::CalibrationCall& call) {
  constexpr DType kType = sizeof(T) == sizeof(float) ? DType::float32 : DType::float64;
  const std::vector<T> q = numbers<T>(call.n * call.dim, 1);
  const std::vector<T> k = numbers<T>(call.n * call.dim, 2);
  const std::vector<T> v = numbers<T>(call.n * call.value_dim, 3);
  std::vector<T> out(v.size());
  const auto view = [&](const std::vector<T>& data, std::int64_t columns) {
    return ConstView{data.data(), kType, {1, 1, call.n, columns}, {call.n * columns, call.n * columns, columns, 1}};
  };
  Options options;
  options.score = Dot{1.0 / static_cast<double>(call.dim)};
  options.engine = call.engine;
  options.arithmetic = call.arithmetic;
  options.threads = 1;
  if (call.engine == Engine::polynomial) {
    options.degree = call.degree;
    options.tolerance.value = 1e30;  // no row is handed over
  }
  const Plan planned =
      plan(view(q, call.dim), std::array{view(k, call.dim)}, std::array{view(v, call.value_dim)}, options);
  Destinations destinations;
  destinations.output = {out.data(),
                         kType,
                         {1, 1, call.n, call.value_dim},
                         {call.n * call.value_dim, call.n * call.value_dim, call.value_dim, 1}};
  double best = std::numeric_limits<double>::infinity();
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < kLeast || seconds_since(start) < kSeconds; ++i) {
    best = std::min(best, planned.execute(destinations).heads.front().seconds);
  }
  return best;
}

double memory_bytes_per_second() {
  const std::vector<double> data(kMemory, 1.0);
  double best = std::numeric_limits<double>::infinity();
  volatile double sink = 0.0;
  for (int i = 0; i < kLeast; ++i) {
    const Clock::time_point start = Clock::now();
    std::array<double, 8> sums{};
    for (std::size_t j = 0; j < data.size(); j += sums.size()) {
      for (std::size_t s = 0; s < sums.size(); ++s) {
        sums[s] += data[j + s];
      }
    }
    sink = sink + std::accumulate(sums.begin(), sums.end(), 0.0);
    best = std::min(best, seconds_since(start));
  }
  return static_cast<double>(kMemory * sizeof(double)) / best;
}

}  // namespace

Calibration measure_calibration() {
  const auto seconds = [](const planning::CalibrationCall& call) {
    return call.arithmetic == Arithmetic::float64 ? seconds_of<double>(call) : seconds_of<float>(call);
  };
  return planning::calibrate(seconds, memory_bytes_per_second());
}

}  // namespace polyattn
