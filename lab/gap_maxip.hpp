#pragma once

/// Gap-MaxIP ([AS24] Definition 4.6), and how order-3 attention decides it (Lemma B.1), in two shapes.
///
/// Given 0-1 vectors a_i, b_j, c_k in d dimensions, a threshold t >= 1 and a gap eps in (0, 1]: for every i, is there a
/// pair with <a_i, b_j, c_k> >= t (yes), or is <a_i, b_j, c_k> <= (1 - eps) t for all (no)? Anything else may be
/// answered either way.
///
/// N = n1 n2 is the number of pairs, entries are 0 and B = beta^(1/3), scores are inner products of three divided by
/// d~.
///
/// In the paper's shape: queries [a, 1_d], keys [b, 0_d] and [c, 0_d] with value 1, and as many keys [0_d, 1_d] with
/// value 0 in either set; d~ = 2d, beta >= 2 d ln(12 N) / (eps t), and with t~ = exp(beta t / 2d - beta / 2) / (12 N)
///
///     output >= 3 t~  for yes,    output <= t~  for no:
///
/// the decision needs an absolute error below t~, which is as small as exp(-hundreds), or a relative one below 1/3.
///
/// With the pad at the threshold: queries [a, 1_t], keys [b, 0_t] and [c, 0_t] with value 1, and ONE key [0_d, 1_t]
/// with value 0 in either set; d~ = d + t, beta >= d~ ln(5 N) / (eps t):
///
///     output >= 1/2.4  for yes,   output <= 1/6  for no:
///
/// an error up to 1/8 does. So Gap-MaxIP is as hard as attention to *constant* accuracy: with d and t of order log n, B
/// is of order (log n)^(1/3) in both shapes.
///
/// Source: [AS24] Lemma B.1, corrected (docs/errata.md); the second shape is new. Proofs: docs/proofs/lab-sat.md,
/// sections 4 and 5. Both hold for any part of the real keys, too.

#include "lab/bits.hpp"
#include "lab/oracle.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <span>

namespace polyattn::lab {

struct GapMaxIp {
  std::array<std::int64_t, 3> counts{};  ///< vectors in the three sets
  std::int64_t dimension = 0;
  std::int64_t threshold = 1;  ///< t
  double gap = 0.5;            ///< eps
  /// Writes a vector, as zeros and ones.
  std::array<std::function<void(std::int64_t index, std::span<float> out)>, 3> vector;
};

/// Borrows the sets. Throws Error (invalid_argument) unless they have one dimension, 1 <= threshold and 0 < gap <= 1.
GapMaxIp gap_maxip(const std::array<BitVectors, 3>& sets, std::int64_t threshold, double gap);

enum class Shape : std::uint8_t { paper, threshold };

constexpr const char* name_of(Shape shape) noexcept { return shape == Shape::paper ? "paper" : "threshold"; }

/// The least beta a shape may use, before B is rounded up to float32.
double least_beta(const GapMaxIp& instance, Shape shape);

/// What an instance needs in the paper's shape: -log of the numbers that outputs have to be told apart from.
struct PaperRange {
  double beta = 0.0;           ///< B^3 for the B that is used
  double log_threshold = 0.0;  ///< log t~
};
PaperRange paper_range(const GapMaxIp& instance);

/// Largest -log t~ that float64 leaves room for: outputs stay normal numbers.
inline constexpr double largest_exponent = 690.0;

/// Borrows what `instance` borrows. Throws Error (invalid_argument) if a set of keys is empty; in the paper's shape
/// Error (not_reachable) if t~ is below exp(-690).
TripleAttention maxip_attention(const GapMaxIp& instance, Shape shape);

}  // namespace polyattn::lab
