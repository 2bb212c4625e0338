#pragma once

/// How well polynomials of a degree approximate exp: the truncated Chebyshev series with its coefficients as exact
/// numbers, enclosed with Arb.
///
/// On [-R, R], exp(x) = I_0(R) + 2 sum_{k >= 1} I_k(R) T_k(x/R) with modified Bessel functions I_k > 0. Cut after
/// degree g, the error at x = R is delta_g(R) = 2 sum_{k > g} I_k(R), and nowhere more, as |T_k| <= 1 = T_k(1). The
/// public `exp_polynomial` has coefficients rounded to float64 and so a floor of about 1e-16 e^R; here there is none,
/// which is what statements about all n need.

namespace polyattn::lab {

/// ln delta_g(R), rounded up; -infinity for R = 0. By series of positive terms and I_{k+1}/I_k <= R/(2k+2), so no
/// digits cancel. Cost: some 20 Bessel functions beyond max(g, R). Throws Error (invalid_argument) unless
/// 0 <= R <= 1e4 and 0 <= g <= 1e5.
double log_chebyshev_error(double radius, int degree);

/// The least degree with ln delta_g(R) <= log_tolerance, at most `highest`; -1 if none. With `relative`, of the error
/// relative to exp(x) as [AS23] Corollary 2.2 bounds it: ln delta_g(R) <= log_tolerance - R. Errors as above.
int least_degree(double radius, double log_tolerance, bool relative, int highest = 4000);

/// The largest R <= `most` for which degree g does, to a relative 1e-7 from below; 0 if that is smaller than 1e-7.
double largest_radius(int degree, double log_tolerance, bool relative, double most = 4000.0);

}  // namespace polyattn::lab
