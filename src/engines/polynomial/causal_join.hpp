#pragma once

/// Rows whose keys are partly in moments and partly exact. With N = N_p + N_x, D = D_p + D_x (prefix and exact part)
/// and T* = N^/D^:
///
///   D (T* - T) = [prefix terms of docs/theory.md] + (D_x^ - D_x)(T_x^ - T*) + D_x (T_x^ - T_x),
///
/// with |D_x^ - D_x| <= e D_x^ and |T_x^ - T_x| <= r from the exact engine. |T_x^ - T*| <= A + r + |T*| with A the
/// largest |v - mu|: what has |T*| as a factor joins rounding_denominator, the rest joins tiny.

#include "engines/polynomial/causal_diagonal.hpp"
#include "engines/polynomial/row_block.hpp"

namespace polyattn::engines {

/// Joins the exact part, of which sum_diagonal made the sums, to what begin_certificates found. The latter is in units
/// of 2^exponent, or nothing if `empty`. Units of a row become 2^exponent as well, or those of its exact part where
/// that is far heavier; log_scale says which. `dropped` bounds the mass of any row that falls below 2^-kUnits of its
/// unit.
template <class T, class R>
void join_exact(const DiagonalModel<T>& model, const DiagonalBound& bound, const DiagonalRows<T>& exact,
                double exponent, bool empty, double dropped, RowBlock<R>& rows) noexcept;
/// The same for row r of the block, whose bound is its own.
template <class T, class R>
void join_exact_row(const DiagonalModel<T>& model, const DiagonalBound& bound, const DiagonalRows<T>& exact,
                    double exponent, bool empty, double dropped, std::int64_t r, RowBlock<R>& rows) noexcept;

/// A part so many powers of two below the other is dropped.
inline constexpr double kUnits = 900.0;
/// For keys of weight at most 1 and scores up to `radius`.
double dropped_mass(double keys, double radius) noexcept;

}  // namespace polyattn::engines
