#include "lab/exponential/rational_polynomial.hpp"

#include "lab/exponential/balls.hpp"
#include "lab/exponential/chebyshev_degree.hpp"
#include "polyattn/error.hpp"

#include <arb_hypgeom.h>
#include <flint/flint.h>
#include <flint/fmpz_poly.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace polyattn::lab {

namespace {

constexpr double kMostRadius = 300.0;
constexpr int kMostDegree = 400;

namespace detail {
inline void integer_poly_init(fmpz_poly_t x) { fmpz_poly_init(x); }
inline void integer_poly_clear(fmpz_poly_t x) { fmpz_poly_clear(x); }
}  // namespace detail
using IntegerPoly = Owned<fmpz_poly_t, detail::integer_poly_init, detail::integer_poly_clear>;

void check(double radius, int degree) {
  if (!(radius >= 0.0 && radius <= kMostRadius)) {
    throw Error(ErrorCode::invalid_argument, "radius: expected 0 to 300, got " + std::to_string(radius));
  }
  if (degree < 0 || degree > kMostDegree) {
    throw Error(ErrorCode::invalid_argument, "degree: expected 0 to 400, got " + std::to_string(degree));
  }
}

/// sum_k b_k T_k(y), b_0 = I_0(R), b_k = 2 I_k(R), as a polynomial in y = x/R.
void chebyshev_series(double radius, int degree, slong bits, BallPoly& series) {
  Ball r;
  Ball order;
  Ball bessel;
  BallPoly term;
  IntegerPoly chebyshev;
  arb_set_d(r.get(), radius);
  for (int k = 0; k <= degree; ++k) {
    arb_set_si(order.get(), k);
    arb_hypgeom_bessel_i(bessel.get(), order.get(), r.get(), bits);
    if (k > 0) arb_mul_2exp_si(bessel.get(), bessel.get(), 1);
    fmpz_poly_chebyshev_t(chebyshev.get(), static_cast<ulong>(k));
    arb_poly_set_fmpz_poly(term.get(), chebyshev.get(), bits);
    arb_poly_scalar_mul(term.get(), term.get(), bessel.get(), bits);
    arb_poly_add(series.get(), series.get(), term.get(), bits);
  }
}

/// The simplest rational number within `room` of every number of the ball; false if the ball is too wide for that.
bool simplest_near(const Ball& ball, const Ball& room, slong bits, Rational& chosen) {
  Ball end;
  arf_t low;
  arf_t high;
  arf_init(low);
  arf_init(high);
  // Of all numbers of ball - room the largest, of all of ball + room the smallest.
  arb_sub(end.get(), ball.get(), room.get(), bits);
  arb_get_ubound_arf(low, end.get(), bits);
  arb_add(end.get(), ball.get(), room.get(), bits);
  arb_get_lbound_arf(high, end.get(), bits);
  const bool possible = arf_is_finite(low) != 0 && arf_is_finite(high) != 0 && arf_cmp(low, high) <= 0;
  if (possible) {
    Rational left;
    Rational right;
    arf_get_fmpq(left.get(), low);
    arf_get_fmpq(right.get(), high);
    fmpq_simplest_between(chosen.get(), left.get(), right.get());
  }
  arf_clear(low);
  arf_clear(high);
  return possible;
}

/// Coefficients that move sum_t |c_t| R^t by e^log_room at most; false if `bits` are too few.
bool rational_coefficients(double radius, int degree, double log_room, slong bits, RationalPolynomial& result) {
  BallPoly series;
  chebyshev_series(radius, degree, bits, series);
  Ball room;  // of one term
  arb_set_d(room.get(), log_room);
  arb_exp(room.get(), room.get(), bits);
  arb_div_ui(room.get(), room.get(), static_cast<ulong>(degree) + 1, bits);
  Ball r;
  Ball coefficient;
  Rational chosen;
  arb_set_d(r.get(), radius);
  result.coefficients.clear();
  result.bits = 0;
  for (slong t = 0; t <= degree; ++t) {
    // Coefficients in y = x/R are those in x times R^t, and so is the room.
    Ball power;
    Ball own_room;
    arb_pow_ui(power.get(), r.get(), static_cast<ulong>(t), bits);
    arb_poly_get_coeff_arb(coefficient.get(), series.get(), t);
    arb_div(coefficient.get(), coefficient.get(), power.get(), bits);
    arb_div(own_room.get(), room.get(), power.get(), bits);
    if (!simplest_near(coefficient, own_room, bits, chosen)) return false;
    char* text = fmpq_get_str(nullptr, 10, chosen.get());
    result.coefficients.emplace_back(text);
    flint_free(text);
    result.bits = std::max({result.bits, static_cast<std::int64_t>(fmpz_bits(fmpq_numref(chosen.get()))),
                            static_cast<std::int64_t>(fmpz_bits(fmpq_denref(chosen.get())))});
  }
  return true;
}

RationalPolynomial polynomial_of(double radius, int degree, double log_room) {
  RationalPolynomial result;
  result.radius = radius;
  result.degree = degree;
  if (radius == 0.0) {
    result.coefficients.assign(static_cast<std::size_t>(degree) + 1, "0");
    result.coefficients.front() = "1";
    result.bits = 1;
    return result;
  }
  // Chebyshev polynomials have coefficients of up to 1.3 bits a degree.
  slong bits = 128 + 2 * degree + static_cast<slong>((2.0 * radius + std::abs(log_room)) * 1.5);
  while (!rational_coefficients(radius, degree, log_room, bits, result)) bits *= 2;
  result.absolute = enclose_error(result.coefficients, radius, ErrorKind::absolute);
  result.relative = enclose_error(result.coefficients, radius, ErrorKind::relative);
  return result;
}

}  // namespace

RationalPolynomial rational_exp_polynomial(double radius, int degree) {
  check(radius, degree);
  return polynomial_of(radius, degree, log_chebyshev_error(radius, degree) - std::log(64.0));
}

RationalPolynomial rational_exp_polynomial_for(double radius, double tolerance, bool relative) {
  check(radius, 0);
  if (!(tolerance > 0.0 && std::isfinite(tolerance))) {
    throw Error(ErrorCode::invalid_argument, "tolerance: expected a positive number, got " + std::to_string(tolerance));
  }
  constexpr double of_series = 0.98;
  const double allowed = std::log(tolerance) - (relative ? radius : 0.0);
  const int degree = least_degree(radius, allowed + std::log(of_series), false, kMostDegree);
  if (degree < 0) {
    throw Error(ErrorCode::invalid_argument, "tolerance: no degree up to 400 reaches " + std::to_string(tolerance) +
                                                 " at radius " + std::to_string(radius));
  }
  // Half of what the series leaves: the enclosure, a thousandth wide, then meets the tolerance.
  const double error = log_chebyshev_error(radius, degree);
  return polynomial_of(radius, degree, allowed + std::log1p(-std::exp(error - allowed)) - std::log(2.0));
}

}  // namespace polyattn::lab
