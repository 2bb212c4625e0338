#pragma once

/// Gap-ANN by one call of attention: Lemma 4.7 of [AS23], its second case, in two shapes. Statement and proof:
/// docs/proofs/lab-nearest.md, sections 2 to 4.
///
/// Vectors of d bits are doubled, [x, not x] (Remark 4.4), so <a', b'> = d - distance. With n keys and a gap (t, f):
///
///   pad     keys [b', 0], and ONE more, [0, 1] with d - t ones; queries [a', 1]; values 1, for the pad 0.
///           dimension D = 3d - t, beta = D ln(3n) / (f - t): average >= 1/2 if near, <= 1/4 if far. An error below 1/8
///           does.
///   paper   keys [b', 0], and n more, [0, 1] with 2d ones; queries [a', 1]; values 1, for the others 0.
///           dimension D = 4d, beta = 4d ln(6n) / (f - t), x = exp(-beta (1 + t/d) / 4) / (6n): average >= 3x if near,
///           < x if far. An error of x does, or of a quarter of the answer.
///
/// Queries and keys carry sqrt(beta), so entries are at most B = sqrt(beta) = O(sqrt(log n)) while t = Omega(log n) and
/// d = O(log n); scores are beta <., .> / D.

#include "lab/bits.hpp"
#include "lab/hamming_gap.hpp"
#include "lab/order2_oracle.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace polyattn::lab {

enum class GapShape : std::uint8_t { pad, paper };

constexpr const char* name_of(GapShape shape) noexcept { return shape == GapShape::pad ? "pad" : "paper"; }

/// The constants of one instance, all computed: beta is the smallest the proof allows, up to its rounding.
struct GapReduction {
  GapShape shape = GapShape::pad;
  std::int64_t ones = 0;       ///< of a pad
  std::int64_t dimension = 0;  ///< D
  double entry = 0.0;          ///< B, a float: no query or key is larger
  double scale = 0.0;          ///< 1/D
  double beta = 0.0;           ///< what `entry` and `scale` amount to, entry^2 scale D
  double threshold = 0.0;      ///< yes from here on
  NeededAccuracy needed;
};

/// -log x of the paper's shape, (d + t) ln(6n) / (f - t) + ln(6n): float64 holds averages down to exp(-690).
double paper_exponent(std::int64_t dimension, const HammingGap& gap, std::int64_t keys);

/// For vectors of `dimension` bits, 0 <= gap.near < gap.far <= dimension, and at most `keys` keys a row, at least 1.
/// Throws Error (invalid_argument) beyond that, (not_reachable) where the paper's threshold does not fit float64.
GapReduction reduce_gap(GapShape shape, std::int64_t dimension, const HammingGap& gap, std::int64_t keys);

/// The call in which every row of a cell sees the keys of that cell, and its pads. Cells have no empty list of keys.
Order2Instance gap_instance(const GapReduction& reduction, const BitVectors& a, const BitVectors& b,
                            std::span<const GapCell> cells);

/// 1 for yes, 0 for no, for the rows of all cells one after the other. Cost: one call of the oracle. Throws what the
/// oracle throws, and as `ask` and `reduce_gap` do.
std::vector<std::uint8_t> decide_gap(GapShape shape, const BitVectors& a, const BitVectors& b,
                                     std::span<const GapCell> cells, const HammingGap& gap, const Order2Oracle& oracle);

}  // namespace polyattn::lab
