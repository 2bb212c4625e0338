#include "lab/threshold/crossing.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>

namespace polyattn::lab {

namespace {

template <class Ratio>
Crossing crossing_by(std::int64_t n, std::span<const Point> points, const Ratio& ratio) {
  std::vector<Sample> samples;
  for (const Point& point : points) {
    if (point.n == n) samples.push_back({point.entries, ratio(point)});
  }
  return crossing_of(n, samples);
}

}  // namespace

const char* name_of(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::crossed:
      return "crossed";
    case Outcome::always:
      return "always";
    case Outcome::never:
      return "never";
    case Outcome::unknown:
      break;
  }
  return "unknown";
}

double Crossing::entries() const noexcept { return outcome == Outcome::crossed ? std::sqrt(low * high) : kAbsent; }

Crossing crossing_of(std::int64_t n, std::span<const Sample> samples) {
  std::vector<Sample> sorted;
  std::ranges::copy_if(samples, std::back_inserter(sorted), [](const Sample& s) { return !std::isnan(s.ratio); });
  std::ranges::sort(sorted, {}, &Sample::entries);
  const auto cheaper = [](const Sample& sample) { return sample.ratio < 1.0; };
  Crossing found;
  found.n = n;
  if (sorted.empty()) return found;
  const auto first = std::ranges::find_if(sorted, cheaper);
  if (first == sorted.end()) {
    found.outcome = Outcome::never;
    return found;
  }
  const auto lost = std::find_if_not(first, sorted.end(), cheaper);
  found.outcome = lost == sorted.end() ? Outcome::always : Outcome::crossed;
  found.low = std::prev(lost)->entries;
  for (const Sample& sample : sorted) {
    if (cheaper(sample)) found.last_cheaper = sample.entries;
  }
  if (lost != sorted.end()) {
    found.high = lost->entries;
    found.by_cost = std::isfinite(lost->ratio);
  }
  return found;
}

Crossing predicted_crossing(std::int64_t n, std::span<const Point> points) {
  return crossing_by(n, points, [](const Point& point) { return point.predicted_ratio(); });
}

Crossing measured_crossing(std::int64_t n, std::span<const Point> points) {
  return crossing_by(n, points, [](const Point& point) {
    // Where none serves there is nothing to measure; exact wins all the same, once anything was measured there.
    return point.served() || std::isnan(point.exact_measured) ? point.measured_ratio() : point.predicted_ratio();
  });
}

std::vector<std::int64_t> lengths_of(std::span<const Point> points) {
  std::set<std::int64_t> lengths;
  for (const Point& point : points) lengths.insert(point.n);
  return {lengths.begin(), lengths.end()};
}

}  // namespace polyattn::lab
