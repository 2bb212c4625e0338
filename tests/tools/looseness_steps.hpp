#pragma once

/// The parts of the certificate whose looseness is measured (looseness.cpp), and what is found of a head.

#include "engines/polynomial_head.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace polyattn::test {

/// How a row's polynomial is chosen: as the engine does, where there are chords by the bound by range alone; by the
/// smaller of the bounds by variance and by range; or by the bound by chords at the mean of the values in place of that
/// by range.
enum class Choice : std::uint8_t { as_built, by_variance, by_chord };

/// Which parts of the certificate are taken.
struct Steps {
  const char* name;
  bool ladder = true;    ///< a radius for each row
  bool variance = true;  ///< Cauchy-Schwarz with the values' variance
  int moments = 2;       ///< even moments: none, the second, all
  bool chords = true;
  bool spread = true;  ///< value-weighted second moments, from nine columns on
  bool far = true;     ///< far keys left out
  bool jensen = true;  ///< lower bounds of the denominator
  bool computed = true;
  Choice choice = Choice::as_built;
};

inline constexpr std::array kSteps{
    Steps{"uniform bound, one radius for all rows", false, false, 0, false, false, false},
    Steps{"+ a radius for each row", true, false, 0, false, false, false},
    Steps{"+ variance of the values", true, true, 0, false, false, false},
    Steps{"+ second moment of the scores", true, true, 1, false, false, false},
    Steps{"+ every even moment", true, true, 2, false, false, false},
    Steps{"+ chords (up to 8 columns)", true, true, 2, true, false, false},
    Steps{"+ value-weighted second moments (from 9 columns)", true, true, 2, true, true, false},
    Steps{"+ far keys left out: all", true, true, 2, true, true, true},
    Steps{"all without a radius for each row", false, true, 2, true, true, true},
    Steps{"all without the variance", true, false, 2, true, true, true},
    Steps{"all without even moments", true, true, 0, false, false, true},
    Steps{"all without moments beyond the second", true, true, 1, true, true, true},
    Steps{"all without chords", true, true, 2, false, true, true},
    Steps{"all without value-weighted moments", true, true, 2, true, false, true},
    Steps{"all, the denominator's bound by Jensen alone", true, true, 2, true, true, true, true, false},
    Steps{"all, the denominator's bound from the sum alone", true, true, 2, true, true, true, false, true},
    Steps{"all, polynomials chosen with the variance", true, true, 2, true, true, true, true, true,
          Choice::by_variance},
    Steps{"all, polynomials chosen by chords at the mean", true, true, 2, true, true, true, true, true,
          Choice::by_chord},
};
inline constexpr std::size_t kAll = 7;         ///< the certificate as it is
inline constexpr std::size_t kCumulative = 8;  ///< steps that add to each other; the others leave one out of all

/// What one step says of a head.
struct Outcome {
  int lowest = -1;                ///< degree; -1: none that was tried
  std::vector<double> looseness;  ///< certified / measured of the rows, at the lowest degree of all steps together
  std::vector<double> bound;      ///< certified / range
  std::vector<double> measured;   ///< / range
};
using Outcomes = std::array<Outcome, kSteps.size()>;

/// Prints a table of the heads that `which` picks.
void print_looseness(const std::string& title, const std::vector<std::pair<HeadData, Outcomes>>& heads,
                     bool (*which)(const HeadData&));

}  // namespace polyattn::test
