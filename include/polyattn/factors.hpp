#pragma once

/// The object of Alman and Song, Fast Attention Requires Bounded Entries (2023), Definition 3.1, itself: thin matrices
/// whose product is close to the matrix of exponentials, entry by entry.
///
///     |(U_1 U_2^T)_ij - exp(s_ij)| <= bound exp(s_ij)      for every query i and key j
///
/// and of How to Capture Higher-order Correlations (2024), Definition D.4, for k - 1 key sets:
///
///     |sum_a U_1(i,a) U_2(j_1,a) U_3(j_2,a) ... - exp(s_i(j_1, j_2, ...))| <= bound exp(s_i(j_1, j_2, ...))
///
/// for every query and every tuple of keys. The number of columns is that of order 2 with the same interval of scores.
///
/// Nothing else in this library needs them: `attend` keeps moments of size r (d_v + 1) instead of (n_q + n_kv) r
/// numbers, and certifies the quotient itself. They are for those who want to look at them, or to multiply them with
/// something else. With a bound below 1 every entry of the product is positive, so it is a matrix of weights: D = U_1
/// (U_2^T 1) are its row sums and D^-1 U_1 (U_2^T V) is attention, off by at most range(V) bound / (1 + sqrt(1 -
/// bound^2)) where the products are taken exactly. Of order k: D = U_1 ((U_2^T 1) o (U_3^T 1) o ...) and U_1 ((U_2^T
/// V_1) o (U_3^T V_2) o ...), o entry by entry.

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
  scanned,    ///< every score is looked at: O(n_q n_kv d), a factor n more for each further key set; the interval,
              ///< hence degree and rank, may be far smaller
};

struct FactorOptions {
  Score score = Dot{};  ///< with more than one key set: the dot score, its scale given
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
  /// At order 3 and above there are no such parts.
  double low = 0.0;
  double high = 0.0;
  double radius = 0.0;  ///< half of that
  bool scanned = false;
  double approximation =
      0.0;                ///< part of the bound that comes from the polynomial, its coefficients' rounding included
  double rounding = 0.0;  ///< part that comes from rounding the entries of the factors
  /// sum_a |U_1(i,a) U_2(j,a) ...| <= majorant exp(s_ij): what cancels in the products, about exp(2 radius) at worst.
  double majorant = 0.0;
  /// What is to be added to the bound if the inner products are computed in float64, in any order of summation, with
  /// or without fused operations: gamma_(r + k - 2) majorant.
  double dot_product = 0.0;

  /// The proved relative error of every entry of the product, of the matrices returned and taken exactly.
  [[nodiscard]] double bound() const noexcept { return approximation + rounding; }
};

struct Factors {
  /// U_1 [batch, heads, n_q, rank], U_2 [batch, key heads, n_kv, rank], and one more for each further key set. Query
  /// heads that share a key head share its factor. Column 0 belongs to the monomial 1, then come those of degree 1, 2,
  /// and so on, in lexicographic order.
  std::vector<Tensor> u;
  int degree = 0;
  std::int64_t rank = 0;  ///< r = C(axes + degree, degree)
  std::int64_t axes = 0;  ///< coordinates in which both queries and keys differ, of order k: are not all 0; at most d
  /// [AS23] Lemma 3.2 for this d and degree, C(2(d + degree), 2 degree); [AS24] Lemma E.1 has k in place of 2. -1
  /// beyond 63 bits.
  std::int64_t papers_rank = 0;
  std::vector<FactorHead> heads;  ///< batch-major, one for each query head
  std::uint64_t peak_bytes = 0;   ///< beyond the inputs, factors included

  /// The largest bound of a head.
  [[nodiscard]] double bound() const noexcept {
    double largest = 0.0;
    for (const FactorHead& head : heads) largest = head.bound() > largest ? head.bound() : largest;
    return largest;
  }
};

/// Factors of exp(s) for q [batch, heads, n_q, dim] and views of keys [batch, key heads, n_s, dim], one for each of the
/// k - 1 key sets of attention of order k; any storage types and strides, no masks. One key set: the dot or the
/// Gaussian score, centred. More: the dot score scale sum_l q_il k1_jl k2_jl ... with its scale given; nothing can be
/// centred, so |s| itself has to be small.
///
/// The polynomial is one whose error is small relative to exp on the interval of the scores, near the best there is;
/// proof and rounding: docs/proofs/factors.md. Time O((n_q + n_1 + ...) r) and that of `range`; memory as many
/// elements, which may be more than the n_q n_kv of the matrix itself: nothing prevents that but `max_memory`.
///
/// Throws Error: invalid_argument for shapes and numbers that mean nothing, non_finite for NaN or infinity in Q or K
/// (named), not_reachable if no degree up to 64 (or not the given one) is proved to meet the tolerance, or the entries
/// would leave the range of the dtype, out_of_memory before anything of size n r is allocated.
POLYATTN_EXPORT Factors factors(const ConstView& q, std::span<const ConstView> keys, const FactorOptions& options);

}  // namespace polyattn
