#pragma once

/// Kernels of the polynomial engine: sums of monomials over keys, and their use by queries. Plain types only.
///
/// Walks visit monomials depth first: every monomial of degree t is its parent of degree t-1 times one variable, so a
/// feature costs one multiplication and only one group per degree is kept. Within a degree the order is lexicographic
/// in the non-decreasing list of variables. Products take monomials as prefixes times suffixes. Lanes are tokens: a
/// feature is a row of tokens.

#include <cstddef>
#include <cstdint>

namespace polyattn::simd {

/// One monomial of degree >= 1: the latest visited monomial of degree-1, times x[variable].
struct MonomialStep {
  std::uint16_t degree;
  std::uint16_t variable;
};

/// All monomials, one after the other: moments [monomial][column] of degree t begin at starts[t], for the leading
/// columns_at[t] columns.
struct WalkProgram {
  const MonomialStep* steps;  ///< rank - 1 steps, depth first
  std::ptrdiff_t count;
  int degree;
  const std::ptrdiff_t* offsets;     ///< first feature of each degree, [degree + 2]
  const std::ptrdiff_t* starts;      ///< [degree + 1]
  const std::ptrdiff_t* columns_at;  ///< [degree + 1]
};

/// A monomial of a list: an earlier one times x[variable]. Number 0 is the monomial 1 and has no parent.
struct MonomialProduct {
  std::int32_t parent;
  std::int32_t variable;
};

/// Products of every one of some suffixes and every one of some prefixes: moments [suffix][prefix][column] from
/// `moments` on.
struct ProductGroup {
  std::int32_t suffix;  ///< the first of them
  std::int32_t suffixes;
  std::int32_t prefix;
  std::int32_t prefixes;
  std::int32_t degree;  ///< of all these products, where sums are grouped by degree
  std::ptrdiff_t moments;
};

/// Monomials as products of a prefix and a suffix; none: prefix_count 0.
struct ProductProgram {
  const MonomialProduct* prefixes;
  std::ptrdiff_t prefix_count;
  const MonomialProduct* suffixes;
  std::ptrdiff_t suffix_count;
  const ProductGroup* key_groups;
  std::ptrdiff_t key_group_count;
  const ProductGroup* sum_groups;  ///< by rising degree
  std::ptrdiff_t sum_group_count;
};

struct FeatureProgram {
  int degree;
  std::ptrdiff_t columns;
  WalkProgram walk;
  ProductProgram products;
};

/// Most keys of a moment block; sums within it are chains of at most kMomentBlock / lane width in T,
/// and lanes are joined in T.
inline constexpr std::ptrdiff_t kMomentBlock = 512;
/// Features per group on the key side and on the query side.
inline constexpr std::ptrdiff_t kMomentGroup = 8;
inline constexpr std::ptrdiff_t kEvaluationGroup = 32;
/// Sums of groups that are added in T before they join the float64 totals.
inline constexpr int kEvaluationGroups = 20;

/// Elements from the group of one degree to the next. Not a multiple of 4 KiB apart: a parent is read right after a
/// child was written, and processors that compare the last twelve bits of the two would wait.
constexpr std::ptrdiff_t group_stride(std::ptrdiff_t group, std::ptrdiff_t tokens) noexcept {
  return group * tokens + 80;
}

/// moments[feature][column] += sum over the block's tokens of feature(token) * rows[column][token].
template <class T>
struct MomentBlock {
  FeatureProgram program;
  const T* x;  ///< [dim][tokens]
  T* rows;     ///< [prefixes or 1][columns][tokens]: the first columns given, zero for padding tokens; others made
  std::ptrdiff_t tokens;  ///< a multiple of 16, at most kMomentBlock
  T* monomials;           ///< scratch: suffixes [suffixes][tokens], or [degree + 1][group_stride(kMomentGroup, tokens)]
  double* totals;         ///< all moments
};

/// scaled = weights * totals, element by element, rounded to T.
template <class T>
struct ScaleBlock {
  const double* weights;
  const double* totals;
  std::ptrdiff_t count;
  T* scaled;
};

/// sums[t][column][token] = sum over features of degree t of feature(token) * moments[feature][column], t <= degree,
/// for the columns that have one.
template <class T>
struct EvaluationBlock {
  FeatureProgram program;
  const T* x;             ///< [dim][tokens]
  std::ptrdiff_t tokens;  ///< a multiple of 64
  const T* moments;
  T* prefixes;   ///< scratch [prefixes][tokens]
  T* monomials;  ///< scratch: suffixes [suffixes][tokens], or [degree + 1][group_stride(kEvaluationGroup, tokens)]
  T* partial;    ///< scratch [degree + 1][columns][tokens]; used by walks in float32 only
  double* sums;  ///< [degree + 1][columns][tokens]
};

/// weighted[c][token] = weight[token] * centred[c][token]; absolute[c] += sum |weighted|; square[c] += sum weighted *
/// centred; spread[c][token] = |weighted[c][token]| where it is asked for. Chains as in MomentBlock.
template <class T>
struct WeighBlock {
  const T* weight;   ///< [tokens]
  const T* centred;  ///< [columns][tokens]
  std::ptrdiff_t tokens;
  std::ptrdiff_t columns;
  T* weighted;
  double* absolute;
  double* square;
  T* spread;  ///< [columns][tokens] or null
};

/// Which polynomial serves a row best, lanes are rows, all in float64: of q = 0 ... degree / 2 the one with the least
///   score(q) = error(q) * range, error(q) * typical at q = spread_q, or uniform(q) * deviation if that is less
///   error(q)   = moment_error[q] * m(q) + slack * weight,  uniform(q) = (moment_error[q] * box^2q + slack) * weight
///   m(0)       = weight, else m(q) = min(max(sums[2q], 0) + gamma box^2q weight, box^2q weight)
struct ChooseBlock {
  std::ptrdiff_t tokens;
  int degree;
  const double* sums;  ///< of the weights: degree t at t * stride
  std::ptrdiff_t stride;
  const double* moment_error;  ///< [degree / 2 + 1][tokens]
  const double* slack;         ///< [tokens]
  const double* box;           ///< [tokens]
  double weight;
  double gamma;
  double range;
  double deviation;  ///< infinity: takes no part
  double typical;
  int spread_q;  ///< -1: none
  double* q;     ///< [tokens] what was chosen, and of it:
  double* error;
  double* uniform;
  double* chosen_error;  ///< moment_error
  double* moment_scale;  ///< gamma box^2q
  double* moment;        ///< m(q)
};

/// The part of a row's certificate that does not depend on the column of the values, lanes are rows, all in float64:
///   denominator          = sum_t coefficients[t] sums[t]
///   rounding_scale       = gamma sum_t |coefficients[t]| box^t
///   rounding_denominator = rounding_scale weight_high + tiny
///   denominator_low      = max(denominator - rounding_denominator - error, weight_low (1 + m / 16)^16),
/// m the mean score less what it may be off, (1 + m / 16)^16 <= exp(m) for m >= -16, else 0.
struct CertifyBlock {
  std::ptrdiff_t tokens;
  int degree;
  const double* sums;  ///< of the weights: degree t at t * stride
  std::ptrdiff_t stride;
  const double* coefficients;  ///< [degree + 1][tokens]
  const double* box;           ///< [tokens]
  const double* error;
  const double* tiny;
  double gamma;
  double weight_low;
  double weight_high;
  double* denominator;
  double* denominator_low;
  double* rounding_scale;
  double* rounding_denominator;
};

/// The last step for a block of rows, lanes are rows (tokens a multiple of 8), all in float64:
/// N_c = sum_t coefficients[t] sums[t][c], T = N_c / denominator, clipped; and the row's certificate maximised over
/// columns:
///   approximation = max_c min(error * max(high_c - T, T - low_c), uniform * (deviation_c + (mean_c - T)^2
///                   half_inverse_c), moment_error * chord_c + slack * max(high_c - T, T - low_c),
///                   spread_error * (spread_c + |T| second)) / denominator_low   (polynomials with q = 1 have no slack)
///   chord_c       = ((T - low_c) (high_c m - m_c) + (high_c - T) (m_c - low_c m)) / (high_c - low_c), every bracket
///   with
///                   what its terms may be off, m and m_c the moments sum w s^p and sum w s^p v; for low_c <= T <=
///                   high_c
///   spread_c      = sum w s^2 |v|, with what it may be off
///   rounding      = max_c (rounding_scale * absolute_c + tiny + |T| * rounding_denominator) / denominator_low
/// A row with an answer that is not finite gets a NaN certificate. Values are centred; answers are not: `centre` is
/// added, and they are clipped into [least, most] once more.
struct FinishBlock {
  std::ptrdiff_t tokens;
  std::ptrdiff_t columns;  ///< value columns
  int degree;
  const double* sums;  ///< [degree + 1][stride_columns][tokens]
  std::ptrdiff_t stride_columns;
  const double* coefficients;  ///< [degree + 1][tokens]
  const double* denominator;   ///< [tokens]
  const double* denominator_low;
  const double* error;
  const double* uniform;
  const double* rounding_scale;
  const double* rounding_denominator;
  const double* rounding_tiny;
  const double* low;  ///< [columns], centred as the values are
  const double* high;
  const double* mean;
  const double* deviation;
  const double* half_inverse;  ///< 1 / (2 deviation), large but finite where deviation is 0
  const double* absolute;
  const double* centre;  ///< [columns], and the hull of the values as given
  const double* least;
  const double* most;
  const double* moments;       ///< [columns][tokens] m_c; null: no chord
  const double* moment;        ///< [tokens] m
  const double* moment_scale;  ///< [tokens] m_c is off by this times absolute_c, and by moment_loss
  const double* moment_loss;   ///< [tokens] m is off by this
  const double* moment_error;  ///< [tokens]
  const double* slack;         ///< [tokens]
  const double* spreads;       ///< [columns][tokens] spread_c as computed; null: none
  const double* second;        ///< [tokens] at least sum w s^2
  const double* spread_scale;  ///< [tokens] spread_c is off by this times absolute_c, and by spread_loss
  const double* spread_loss;   ///< [tokens]
  const double* spread_error;  ///< [tokens] infinity where the row's polynomial has no such bound
  double* answer;              ///< [columns][tokens]
  double* largest;             ///< [tokens] largest |answer|
  double* approximation;       ///< [tokens]
  double* rounding;            ///< [tokens]
};

/// Where rows lie: x is centred, and in float64
///   norm   = sqrt(least + sum |metric| x^2) (1 + 1e-6),  radius = box = min(norm key_norm, (least + sum |metric x|
///   reach) (1 + 1e-6)),  inside = 1 if |x| <= half in every coordinate and radius <= limit < infinity, else 0;
/// y = x * factor rounded to T for rows inside, else 0. Returns NaN if a number is not finite, else 0.
template <class T>
struct LocateBlock {
  std::ptrdiff_t tokens;  ///< a multiple of 8
  std::ptrdiff_t dim;
  const double* centre;  ///< [dim]
  const double* metric;
  const double* half;
  const double* reach;
  const double* factor;
  double least;
  double key_norm;
  double limit;
  double* x;  ///< [dim][tokens]
  double* norm;
  double* box;
  double* radius;
  double* inside;
  T* y;  ///< [dim][tokens]
};

/// unit * size + least up to `most`, infinity beyond.
struct StoreLoss {
  double unit;
  double least;
  double most;
};

/// Bounds of numerator and denominator become those of the stored answer (row_outputs.hpp), lanes are rows:
///   rounding = (rounding + range (min((score box + moved) / 2, 1) + lost / denominator_low)
///              + answer_unit (largest + answer_largest) + stored(largest)) (1 + 1e-12),
///   storage  = stored_apart(largest).
struct CompleteBlock {
  std::ptrdiff_t tokens;
  const double* box;
  const double* lost;
  const double* denominator_low;
  const double* largest;
  double score;
  double moved;
  double range;
  double answer_unit;
  double answer_largest;
  StoreLoss stored;
  StoreLoss stored_apart;
  double* approximation;
  double* rounding;
  double* storage;
};

template <class T>
struct PolynomialKernels {
  double (*locate)(const LocateBlock<T>&) noexcept;
  void (*moments)(const MomentBlock<T>&) noexcept;
  void (*weigh)(const WeighBlock<T>&) noexcept;
  void (*scale)(const ScaleBlock<T>&) noexcept;
  void (*evaluate)(const EvaluationBlock<T>&) noexcept;
  void (*choose)(const ChooseBlock&) noexcept;
  void (*certify)(const CertifyBlock&) noexcept;
  void (*finish)(const FinishBlock&) noexcept;
  void (*complete)(const CompleteBlock&) noexcept;
};

}  // namespace polyattn::simd
