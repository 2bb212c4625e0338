#pragma once

/// What the papers' theorems ask for, as numbers.
///
/// [AS23] J. Alman and Z. Song, Fast Attention Requires Bounded Entries (2023); [AS24] the same, How to Capture
/// Higher-order Correlations? (2024). With all entries in [-B, B] and scores sum_l q_l k1_l .../d, scores lie in
/// [-R, R], R = B^k ([AS23] Lemma 3.3, [AS24] Lemma D.3). A polynomial of degree g with relative error eps there gives
/// tensors of rank C(k(g + d), kg) ([AS23] Lemma 3.2, [AS24] Lemma E.1), or C(d + g, g) if equal monomials are counted
/// once, and answers within 2 eps max|v| ([AS23] Theorem 3.7), which is eps times the value range where values fill
/// [-max|v|, max|v|]. Thus eps = n^-c here.

#include <cstdint>
#include <string>

namespace polyattn::lab {

/// d = ceil(C log2 n), at least 1. n >= 2.
std::int64_t dimensions(double per_log, std::int64_t n);
/// n^-c, the tolerance as a share of the value range.
double tolerance_of(double accuracy, std::int64_t n);
/// B^k.
double score_bound(double entries, int order);

/// max{B, L / ln(L/B)}, L = ln(1/eps): the degree of [AS23] Lemma 2.1 for exp on [0, B] without its constant. As
/// printed the quotient is infinite at B = L and negative beyond; ln(max(e, L/B)) is taken, which changes it by a
/// constant factor at most where B > L/e. B > 0, 0 < eps < 1.
double optimal_degree(double length, double tolerance);

/// C(n, k) as decimal digits; 0 <= k <= n.
std::string binomial_text(std::int64_t n, std::int64_t k);
/// ln C(n, k), to double precision or so.
double log_binomial(double n, double k);

/// Whose count of features.
enum class Count : std::uint8_t {
  papers,  ///< C(k(g + d), kg)
  ours,    ///< C(d + g, g)
};

/// ln of the rank.
double log_rank(Count count, int order, double dim, double degree);

/// The largest B at which the rank of the least degree with relative error n^-c on [-B^k, B^k] is at most n^(k-1), so
/// that polynomials still cost less than all n^k products up to factors of d: the threshold by theory alone, no data.
/// n = 2^log2_n with d = ceil(C log2 n). 0 if even degree 1 has a larger rank; degrees up to 20,000 and B^k up to 4,000
/// are looked at.
struct TheoryThreshold {
  double entries = 0.0;
  int degree = 0;  ///< the largest with such a rank
  double dim = 0.0;
};
TheoryThreshold theory_threshold(Count count, int order, double per_log, double accuracy, double log2_n);

}  // namespace polyattn::lab
