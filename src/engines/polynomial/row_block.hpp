#pragma once

/// A block of rows on its way from queries to certified answers: the fast twin of certify_row. Arrays are indexed by
/// the row's place in the block. Under a causal mask rows also have an exact part (causal_join.hpp), one more "degree"
/// of their sums: its coefficient brings it to the row's units.

#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial/row_outputs.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// Buffers of one thread for blocks of `block` rows.
template <class T>
struct RowBlock {
  RowBlock(const FeatureList& features, std::int64_t rows, base::MemoryMeter* memory, bool with_exact = false);
  const simd::PolynomialKernels<T>& kernels;
  std::int64_t block;
  bool joined;             ///< with an exact part
  std::int64_t first = 0;  ///< row of the problem at place 0
  std::int64_t count = 0;
  base::Buffer<T> y;
  base::Buffer<T> prefixes;
  base::Buffer<T> monomials;
  base::Buffer<T> partial;
  base::Buffer<double> sums;          ///< [degree + 1][columns][block], and [columns][block] of the exact part
  base::Buffer<double> coefficients;  ///< [degree + 1][block], and of the exact part
  base::Buffer<double> answer;        ///< [value_dim][block]
  base::Buffer<double> moments;       ///< [value_dim][block] of the degree each row's polynomial is matched to; or none
  base::Buffer<double> centred;       ///< [dim][block] q - qc
  base::Buffer<double> errors;        ///< [degree / 2 + 1][block] of the row's polynomials
  base::Buffer<double> per_row;       ///< the arrays below
  double* radius;
  double* box;  ///< sum_l |z_l y_l x_jl| over keys with moments; once outlying keys have joined, over all
  double* norm;
  double* inside;  ///< 1 or 0
  double* q;
  double* error;
  double* uniform;
  double* tiny;
  double* denominator;
  double* denominator_low;
  double* rounding_scale;
  double* rounding_denominator;
  double* moment;
  double* moment_scale;
  double* moment_loss;
  double* moment_error;
  double* slack;
  double* second;
  double* spread_loss;
  double* spread_error;
  double* largest;
  double* approximation;
  double* rounding;
  double* storage;
  double* lost;       ///< mass that underflowing weights may have changed
  double* log_scale;  ///< denominators are in units of its exponential
  std::vector<std::uint8_t> refused;
  std::vector<std::size_t> entry;       ///< radius class of the row
  std::vector<std::size_t> polynomial;  ///< where its coefficients begin
};

/// Rows [first, first + count) of the queries as coordinates, with their radii. Rows outside the frame and padding
/// become 0 and are refused.
template <class T>
void load_row_block(const HeadProblem& problem, const Frame& frame, const FeatureList& features, std::int64_t first,
                    std::int64_t count, RowBlock<T>& rows);

/// Certificates from the sums of the moments, as far as they do not depend on the column of the values.
template <class T>
void begin_certificates(const PreparedMoments<T>& moments, RowBlock<T>& rows) noexcept;
/// The same for rows before whose block no key is visible: everything from moments is 0.
template <class T>
void no_certificates(const PreparedMoments<T>& moments, RowBlock<T>& rows) noexcept;
/// Answers, and what depends on the columns.
template <class T>
void finish_certificates(const ValueRange& values, const PreparedMoments<T>& moments, RowBlock<T>& rows) noexcept;

/// Answers and certificates from the sums.
template <class T>
void certify_row_block(const ValueRange& values, const PreparedMoments<T>& moments, RowBlock<T>& rows) noexcept;

/// Turns approximation and rounding of numerator and denominator into those of the answer, as accept_row does: moved
/// scores, lost mass, keys left out, storage.
template <class T>
void complete_bounds(const Frame& frame, const PreparedMoments<T>& moments, const AnswerScale& scale, DType output,
                     RowBlock<T>& rows) noexcept;

/// What certify_row would say of a row that was not refused, as far as its outputs need it.
template <class T>
RowCertificate certificate_of(const Frame& frame, const PreparedMoments<T>& moments, const RowBlock<T>& rows,
                              std::int64_t place) noexcept;

}  // namespace polyattn::engines
