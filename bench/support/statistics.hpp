#pragma once

/// Order statistics of a handful of timings.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

namespace polyattn::bench {

inline double lowest(const std::vector<double>& samples) {
  return samples.empty() ? std::numeric_limits<double>::quiet_NaN() : *std::min_element(samples.begin(), samples.end());
}

inline double highest(const std::vector<double>& samples) {
  return samples.empty() ? std::numeric_limits<double>::quiet_NaN() : *std::max_element(samples.begin(), samples.end());
}

inline double median(std::vector<double> samples) {
  if (samples.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(samples.begin(), samples.end());
  const std::size_t half = samples.size() / 2;
  return samples.size() % 2 == 1 ? samples[half] : 0.5 * (samples[half - 1] + samples[half]);
}

/// Wall-clock seconds of one call.
template <class Call>
double seconds_of(Call&& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Seconds of two calls one after the other. Pairs of even `turn` start with the first, odd ones with the second, so
/// that what one leaves behind for the other cancels over the pairs.
template <class First, class Second>
std::pair<double, double> seconds_of_pair(std::size_t turn, First&& first, Second&& second) {
  if (turn % 2 == 0) {
    const double seconds = seconds_of(first);
    return {seconds, seconds_of(second)};
  }
  const double seconds = seconds_of(second);
  return {seconds_of(first), seconds};
}

}  // namespace polyattn::bench
