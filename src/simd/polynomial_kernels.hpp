#pragma once

/// Kernels of the polynomial engine: sums of monomials over keys, and their use by queries. Plain types only.
///
/// Monomials are visited depth first: every monomial of degree t is its parent of degree t-1 times one variable, so a
/// feature costs one multiplication and only one group per degree is kept. Lanes are tokens: a feature is a row of
/// tokens. Within a degree the order is lexicographic in the non-decreasing list of variables.

#include <cstddef>
#include <cstdint>

namespace polyattn::simd {

/// One monomial of degree >= 1: the latest visited monomial of degree-1, times x[variable].
struct MonomialStep {
  std::uint16_t degree;
  std::uint16_t variable;
};

struct MonomialProgram {
  const MonomialStep* steps;  ///< rank - 1 steps, depth first
  std::ptrdiff_t count;
  int degree;
  const std::ptrdiff_t* offsets;  ///< first feature of each degree, [degree + 2]
};

/// Most keys of a moment block; sums within it are chains of at most kMomentBlock / lane width in T, joined in float64.
inline constexpr std::ptrdiff_t kMomentBlock = 512;
/// Features per group on the key side and on the query side.
inline constexpr std::ptrdiff_t kMomentGroup = 8;
inline constexpr std::ptrdiff_t kEvaluationGroup = 32;
/// Groups whose sums are added in T before they join the float64 totals.
inline constexpr int kEvaluationGroups = 8;

/// totals[feature][column] += sum over the block's tokens of feature(token) * weighted[column][token].
template <class T>
struct MomentBlock {
  MonomialProgram program;
  const T* x;             ///< [dim][tokens]
  const T* weighted;      ///< [columns][tokens], zero for padding tokens
  std::ptrdiff_t tokens;  ///< a multiple of 16, at most kMomentBlock
  std::ptrdiff_t columns;
  T* groups;       ///< scratch [degree + 1][kMomentGroup][tokens]
  double* totals;  ///< [rank][columns]
};

/// sums[t][column][token] = sum over features of degree t of feature(token) * moments[feature][column].
template <class T>
struct EvaluationBlock {
  MonomialProgram program;
  const T* x;             ///< [dim][tokens]
  std::ptrdiff_t tokens;  ///< a multiple of 64
  const T* moments;       ///< [rank][columns]
  std::ptrdiff_t columns;
  T* groups;     ///< scratch [degree + 1][kEvaluationGroup][tokens]
  T* partial;    ///< scratch [degree + 1][columns][tokens]
  double* sums;  ///< [degree + 1][columns][tokens]
};

/// weighted[c][token] = weight[token] * centred[c][token]; absolute[c] += sum |weighted|; square[c] += sum weighted *
/// centred. Chains as in MomentBlock.
template <class T>
struct WeighBlock {
  const T* weight;   ///< [tokens]
  const T* centred;  ///< [columns][tokens]
  std::ptrdiff_t tokens;
  std::ptrdiff_t columns;
  T* weighted;
  double* absolute;
  double* square;
};

/// The last step for a block of rows, lanes are rows (tokens a multiple of 8), all in float64:
/// N_c = sum_t coefficients[t] sums[t][c], T = N_c / denominator, clipped; and the row's certificate maximised over
/// columns:
///   approximation = max_c min(error * max(high_c - T, T - low_c), uniform * (deviation_c + (mean_c - T)^2
///                   half_inverse_c), moment_error * chord_c + slack * max(high_c - T, T - low_c)) / denominator_low
///   chord_c       = ((T - low_c) (high_c m - m_c) + (high_c - T) (m_c - low_c m)) / (high_c - low_c), every bracket
///   with
///                   what its terms may be off, m and m_c the moments sum w s^p and sum w s^p v; for low_c <= T <=
///                   high_c
///   rounding      = max_c (rounding_scale * absolute_c + tiny + |T| * rounding_denominator) / denominator_low
/// A row with an answer that is not finite gets a NaN certificate.
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
  const double* moments;       ///< [columns][tokens] m_c; null: no chord
  const double* moment;        ///< [tokens] m
  const double* moment_scale;  ///< [tokens] m_c is off by this times absolute_c, and by moment_loss
  const double* moment_loss;   ///< [tokens] m is off by this
  const double* moment_error;  ///< [tokens]
  const double* slack;         ///< [tokens]
  double* answer;              ///< [columns][tokens]
  double* approximation;       ///< [tokens]
  double* rounding;            ///< [tokens]
};

template <class T>
struct PolynomialKernels {
  void (*moments)(const MomentBlock<T>&) noexcept;
  void (*weigh)(const WeighBlock<T>&) noexcept;
  void (*evaluate)(const EvaluationBlock<T>&) noexcept;
  void (*finish)(const FinishBlock&) noexcept;
};

}  // namespace polyattn::simd
