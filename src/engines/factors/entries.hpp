#pragma once

/// The factors themselves: what is proved of them, and their entries.
///
///     U_1(i, alpha) = exp(row_i + middle + shift) C_t (t!/alpha!) (y_i/R)^alpha
///     U_2(j, alpha) = exp(column_j - shift) x_j^alpha,   U_s(j, alpha) = (x^s_j)^alpha at order 3 and above
///
/// over the monomials alpha of degree t = |alpha| at most g, C_t the coefficients of relative_polynomial.cpp.

#include "base/parallel.hpp"
#include "base/rows.hpp"
#include "engines/factors/frame.hpp"
#include "numerics/monomials.hpp"
#include "numerics/relative_polynomial.hpp"
#include "polyattn/dtype.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// Entries of float64 factors are proved for exponents up to 277 (2^400), of float32 ones up to 27 (2^39).
double most_exponent(DType dtype) noexcept;

/// Relative errors of every entry of U_1 U_2^T, or of U_1 (.) U_2 (.) U_3 ...; docs/proofs/factors.md. Infinite where
/// nothing is proved.
struct FactorBound {
  double approximation = 0.0;
  double rounding = 0.0;
  double majorant = 0.0;  ///< sum_alpha |U_1 U_2 ...| <= majorant exp(s)
  double dot_product = 0.0;

  [[nodiscard]] double total() const noexcept { return approximation + rounding; }
};

/// `axes` at least 1 and `frame.active`: the factors have the monomials in so many variables.
FactorBound factor_bound(const FactorFrame& frame, const numerics::RelativePolynomial& polynomial, std::int64_t axes,
                         DType dtype) noexcept;

/// The lowest degree whose bound is at most `tolerance`, and the best bound seen if there is none.
struct LeastDegree {
  bool found = false;
  int degree = 0;
  double bound = 0.0;
};
LeastDegree least_degree(const FactorFrame& frame, double tolerance, std::int64_t axes, DType dtype);

/// Rows [first, first + count) of U_1 for the frame's queries from `offset` on, and of the factor of side `side` >= 1.
/// `list` has as many variables as the factors, at least `frame.active`; those beyond are 0.
void store_query_factor(const FactorFrame& frame, const numerics::RelativePolynomial& polynomial,
                        const numerics::Monomials& list, const std::vector<double>& weights, std::int64_t offset,
                        std::int64_t first, std::int64_t count, const base::RowSink& sink);
void store_key_factor(const FactorFrame& frame, std::size_t side, const numerics::RelativePolynomial& polynomial,
                      const numerics::Monomials& list, std::int64_t first, std::int64_t count,
                      const base::RowSink& sink);

/// C_t (t!/alpha!) for every monomial: what a row of U_1 is made of beside its own monomials.
std::vector<double> factor_weights(const numerics::RelativePolynomial& polynomial, const numerics::Monomials& list);

}  // namespace polyattn::engines
