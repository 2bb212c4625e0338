#pragma once

/// A block of rows on its way from queries to certified answers: the fast twin of certify_row for rows without a mask.
/// Arrays are indexed by the row's place in the block.

#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial/row_outputs.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// Buffers of one thread for blocks of `block` rows.
template <class T>
struct RowBlock {
  RowBlock(const FeatureList& features, std::int64_t rows, base::MemoryMeter* memory);
  std::int64_t block;
  std::int64_t first = 0;  ///< row of the problem at place 0
  std::int64_t count = 0;
  base::Buffer<T> y;
  base::Buffer<T> outer;
  base::Buffer<T> groups;
  base::Buffer<T> partial;
  base::Buffer<double> sums;  ///< [degree + 1][columns][block]
  base::Buffer<double> coefficients;
  base::Buffer<double> answer;   ///< [value_dim][block]
  base::Buffer<double> moments;  ///< [value_dim][block] of the degree each row's polynomial is matched to; or none
  base::Buffer<double> centred;  ///< [dim][block] q - qc
  base::Buffer<double> errors;   ///< [degree / 2 + 1][block] of the row's polynomials
  base::Buffer<double> per_row;  ///< the arrays below
  double* radius;
  double* box;
  double* norm;
  double* inside;    ///< 1 or 0
  double* made_for;  ///< radius of the row's polynomials
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
  std::vector<std::uint8_t> refused;
  std::vector<std::size_t> entry;  ///< radius class of the row
};

/// Rows [first, first + count) of the queries as coordinates, with their radii. Rows outside the frame and padding
/// become 0 and are refused.
template <class T>
void load_row_block(const HeadProblem& problem, const Frame& frame, const FeatureList& features, std::int64_t first,
                    std::int64_t count, RowBlock<T>& rows);

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
