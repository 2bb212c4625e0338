#pragma once

/// Where polynomials stop being cheaper than exact, as B grows.

#include "lab/threshold/settings.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace polyattn::lab {

/// Time of polynomials over time of exact at one B; infinite where no polynomial serves.
struct Sample {
  double entries = 0.0;
  double ratio = 0.0;
};

enum class Outcome : std::uint8_t {
  crossed,  ///< cheaper up to `low`, not at `high`
  always,   ///< cheaper at every B looked at
  never,    ///< at none
  unknown,  ///< nothing was looked at
};

const char* name_of(Outcome outcome) noexcept;

/// The crossing B* of one n.
struct Crossing {
  std::int64_t n = 0;
  Outcome outcome = Outcome::unknown;
  double low = kAbsent;           ///< the last B before polynomials first stop being cheaper
  double high = kAbsent;          ///< the next one
  double last_cheaper = kAbsent;  ///< the largest B of all at which they are cheaper: more than `low` if they come back
  bool by_cost = false;           ///< at `high` polynomials serve but cost more; else none serves there

  /// B*: the geometric mean of the bracket. NaN unless crossed.
  [[nodiscard]] double entries() const noexcept;
};

/// Of samples in any order, all B different, NaN ratios (nothing known) left out. B* is where polynomials *first* stop
/// being cheaper after the smallest B at which they are.
Crossing crossing_of(std::int64_t n, std::span<const Sample> samples);

/// Of the points with this n, predicted or measured.
Crossing predicted_crossing(std::int64_t n, std::span<const Point> points);
Crossing measured_crossing(std::int64_t n, std::span<const Point> points);

/// Every n there is, ascending.
std::vector<std::int64_t> lengths_of(std::span<const Point> points);

}  // namespace polyattn::lab
