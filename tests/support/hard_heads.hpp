#pragma once

/// Heads aimed at one weak spot of the polynomial engine each, built step by step so that what the planner would choose
/// (degree of the prefixes, value-weighted moments, keys left out, radii of the table) is chosen by the case.

#include "support/polynomial_run.hpp"
#include "support/random.hpp"

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace polyattn::test {

enum class HeadFamily : std::uint8_t {
  split,      ///< 1 to 6 dimensions, degree 0 to 16, up to nine columns, every degree of prefixes
  spread,     ///< value-weighted second moments, values of every skewness
  outside,    ///< polynomials so poor that answers leave the hull of the values
  chains,     ///< sums at their longest, rounding alone: high degree, tiny radius, many keys
  underflow,  ///< weights that underflow, key biases far apart
  far,        ///< far keys left out
  ladder,     ///< rows whose radius is one of the table's, or the number next to it
  scales,     ///< denormal and huge coordinates, columns of very different scales, values far from 0
  few,        ///< one key or two, beside hidden ones that hold NaN
  outlying,   ///< outlying keys summed exactly, some with far keys left out beside
  layers,     ///< features in two layers of balanced or given coordinates, spectra that decay or do not
};
inline constexpr int kHeadFamilies = 11;

const char* name_of(HeadFamily family) noexcept;

/// A head and how it is to be answered.
struct HardHead {
  HeadData head;
  int degree = 0;
  int prefix = -1;  ///< degree of prefixes; -1: what the engine would take
  bool spread = false;
  bool single = false;      ///< arithmetic float32
  int steps = 0;            ///< of the table's ladder; 0: one radius
  std::int64_t row = -1;    ///< whose radius the table is made for; -1: the frame's
  int octaves = 0;          ///< and by how many factors of 2 beyond it
  int nudge = 0;            ///< the next number above (1) or below (-1) that radius
  double kept = 1.0;        ///< share of the shells of keys that are not left out
  std::int64_t apart = 0;   ///< the farthest keys, summed exactly
  std::int64_t strong = 0;  ///< directions with the full degree, the others to first order; 0: no layers
  int first_degree = 0;     ///< of the strong monomials that go with the others, at most `degree`
  bool balanced = false;    ///< directions are balanced ones, not the coordinates
};

HardHead draw_hard_head(HeadFamily family, std::uint64_t seed);
/// A change that keeps shapes.
void change_hard_head(HardHead& hard, std::uint64_t seed);

/// Sets column `column` of the values to +-their size by the sign of the error that the keys' weights have in row
/// `row`, were its polynomial the Chebyshev series made for `slack` times its radius.
void align_values(HardHead& hard, std::int64_t row, std::int64_t column, double slack);

/// A family and a seed, followed by the seeds of changes: the same inputs for every version of the library.
struct HeadGenome {
  HeadFamily family = HeadFamily::split;
  std::uint64_t seed = 0;
  std::vector<std::uint64_t> changes;
};
std::ostream& operator<<(std::ostream& out, const HeadGenome& genome);
/// One line "family seed [change...]"; nothing for an empty line or a comment (#). Throws std::runtime_error.
std::optional<HeadGenome> parse_head_genome(const std::string& line);
HardHead grown(const HeadGenome& genome);

/// Frame (with keys left out), values, features and table of the case.
PolynomialSetup setup_of(const HardHead& hard);

}  // namespace polyattn::test
