#pragma once

// The Chebyshev series on [-R, R] of the remainder of exp after 2q Taylor terms: see chebyshev_series.cpp.

#include "numerics/double_double.hpp"

#include <cstddef>
#include <vector>

namespace polyattn::numerics {

/// f(x) = sum_{n>=0} x^n s!/(n+s)!, s = 2q, so that exp(x) = Taylor_{s-1}(x) + x^s f(x)/s!. Cut after the power
/// `terms`,
///
///     f_terms(x) = b_0/2 + sum_{1<=k<=terms} b_k T_k(x/R),   b_k = scale^k beta_k,   0 < b_k,
///     |f(x) - f_terms(x)| <= neglected for |x| <= R.
///
/// The computed beta_k are within a relative 4 terms kPair of the exact ones, underflow apart, and
/// underflow moves sum_k b_k by at most `underflow`.
struct ChebyshevSeries {
  int terms = 0;
  double scale = 1.0;    ///< a power of two, at most 1
  double stretch = 0.0;  ///< R / scale, at least 1; exact
  double neglected = 0.0;
  double underflow = 0.0;
  std::vector<double> hi;  ///< beta_k = hi[k] + lo[k], k = 0 .. terms
  std::vector<double> lo;

  [[nodiscard]] Pair beta(int k) const noexcept {
    const auto i = static_cast<std::size_t>(k);
    return {hi[i], lo[i]};
  }
};

/// For 2^-200 <= radius <= 300, q >= 0; with enough terms that `neglected` is at most 2^-20 b_{degree+1} or 2^-64 of
/// f(R), and at least degree + 1.
ChebyshevSeries chebyshev_series(double radius, int q, int degree);

/// sum_{k>degree} b_k over the computed series, rounded up; neither `neglected` nor `underflow` is in it.
double tail(const ChebyshevSeries& series, int degree) noexcept;

}  // namespace polyattn::numerics
