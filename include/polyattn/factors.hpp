#pragma once

/// The object of Alman and Song, Fast Attention Requires Bounded Entries (2023), Definition 3.1, itself: thin matrices
/// whose product is close to the matrix of exponentials, entry by entry.
///
///     |(U_1 U_2^T)_ij - exp(s_ij)| <= bound exp(s_ij)      for every query i and key j
///
/// Nothing else in this library needs them: `attend` keeps moments of size r (d_v + 1) instead of (n_q + n_kv) r
/// numbers, and certifies the quotient itself. They are for those who want to look at them, or to multiply them with
/// something else. With a bound below 1 every entry of the product is positive, so it is a matrix of weights: D = U_1
/// (U_2^T 1) are its row sums and D^-1 U_1 (U_2^T V) is attention, off by at most range(V) bound / (1 + sqrt(1 -
/// bound^2)) where the products are taken exactly.

#include "polyattn/dtype.hpp"
#include "polyattn/error.hpp"
#include "polyattn/export.hpp"
#include "polyattn/options.hpp"
#include "polyattn/tensor.hpp"
#include "polyattn/view.hpp"

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace polyattn {

/// What is known of the scores before a degree is chosen.
enum class ScoreRange : std::uint8_t {
  automatic,  ///< `scanned` where that costs no more than computing and storing the factors `bounded` would need
  bounded,    ///< from norms and extents of Q and K: O((n_q + n_kv) d)
  scanned,    ///< every score is looked at: O(n_q n_kv d); the interval, hence degree and rank, may be far smaller
};

struct FactorOptions {
  Score score = Dot{};
  /// The largest relative error of an entry, 0 < tolerance < 1: the lowest degree proved to meet it is taken. May be
  /// left out if `degree` is given.
  std::optional<double> tolerance = std::nullopt;
  std::optional<int> degree = std::nullopt;  ///< this degree instead, 0 to 64
  DType dtype = DType::float64;              ///< of the factors: float64, or float32, whose rounding is in the bound
  ScoreRange range = ScoreRange::automatic;
  int threads = 0;                                                       ///< 0: all the machine offers
  std::uint64_t max_memory = std::numeric_limits<std::uint64_t>::max();  ///< bytes beyond the inputs, factors included
  Progress progress = {};
};

/// One head's factors.
struct FactorHead {
  std::int64_t batch = 0;
  std::int64_t head = 0;       ///< of the queries
  double radius_before = 0.0;  ///< bound on |s_ij| as stated
  /// The scores less row and column parts, which the factors' rows carry as exp(..), are in [low, high], which holds 0.
  double low = 0.0;
  double high = 0.0;
  double radius = 0.0;  ///< half of that
  bool scanned = false;
  double approximation =
      0.0;                ///< part of the bound that comes from the polynomial, its coefficients' rounding included
  double rounding = 0.0;  ///< part that comes from rounding the entries of the factors
  /// sum_a |U_1(i,a) U_2(j,a)| <= majorant exp(s_ij): what cancels in the products, about exp(2 radius) at worst.
  double majorant = 0.0;
  /// What is to be added to the bound if the inner products are computed in float64, in any order of summation, with
  /// or without fused operations: gamma_r majorant.
  double dot_product = 0.0;

  /// The proved relative error of every entry of U_1 U_2^T, the product of the matrices returned taken exactly.
  [[nodiscard]] double bound() const noexcept { return approximation + rounding; }
};

struct Factors {
  /// U_1 [batch, heads, n_q, rank] and U_2 [batch, key heads, n_kv, rank]. Query heads that share a key head share its
  /// U_2. Column 0 belongs to the monomial 1, then come those of degree 1, 2, and so on, in lexicographic order.
  std::vector<Tensor> u;
  int degree = 0;
  std::int64_t rank = 0;  ///< r = C(axes + degree, degree)
  std::int64_t axes = 0;  ///< coordinates in which both queries and keys differ; at most d
  std::int64_t papers_rank =
      0;  ///< [AS23] Lemma 3.2 for this d and degree, C(2(d + degree), 2 degree); -1 beyond 63 bits
  std::vector<FactorHead> heads;  ///< batch-major, one for each query head
  std::uint64_t peak_bytes = 0;   ///< beyond the inputs, factors included

  /// The largest bound of a head.
  [[nodiscard]] double bound() const noexcept {
    double largest = 0.0;
    for (const FactorHead& head : heads) largest = head.bound() > largest ? head.bound() : largest;
    return largest;
  }
};

/// Factors of exp(s_ij) for q [batch, heads, n_q, dim] and one view of keys [batch, key heads, n_kv, dim] (a list, as
/// in `attend`; order 3 and above is refused), any storage types and strides, the dot or the Gaussian score, no masks.
///
/// The polynomial is one whose error is small relative to exp on the interval of the scores, near the best there is;
/// proof and rounding: docs/proofs/factors.md. Time O((n_q + n_kv) r) and that of `range`; memory (n_q + n_kv) r
/// elements, which may be more than the n_q n_kv of the matrix itself: nothing prevents that but `max_memory`.
///
/// Throws Error: invalid_argument for shapes and numbers that mean nothing, non_finite for NaN or infinity in Q or K
/// (named), not_reachable if no degree up to 64 (or not the given one) is proved to meet the tolerance, or the entries
/// would leave the range of the dtype, out_of_memory before anything of size n r is allocated.
POLYATTN_EXPORT Factors factors(const ConstView& q, std::span<const ConstView> keys, const FactorOptions& options);

}  // namespace polyattn
