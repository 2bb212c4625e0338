#pragma once

/// Owners of FLINT's and Arb's numbers, so that nothing leaks where something throws. Used inside lab/*.cpp only.

#include <arb.h>
#include <arb_poly.h>
#include <flint/fmpq.h>
#include <flint/fmpq_poly.h>
#include <flint/fmpz.h>

#include <string>

namespace polyattn::lab {

/// One number or polynomial of a C library: `get()` is what its functions take.
template <class Array, void (*Init)(Array), void (*Clear)(Array)>
class Owned {
 public:
  Owned() { Init(value_); }
  ~Owned() { Clear(value_); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  Owned(Owned&&) = delete;
  Owned& operator=(Owned&&) = delete;

  [[nodiscard]] auto* get() noexcept { return &value_[0]; }
  [[nodiscard]] const auto* get() const noexcept { return &value_[0]; }

 private:
  Array value_;
};

namespace detail {
// Some of the libraries' functions are macros or inline.
inline void integer_init(fmpz_t x) { fmpz_init(x); }
inline void integer_clear(fmpz_t x) { fmpz_clear(x); }
inline void rational_init(fmpq_t x) { fmpq_init(x); }
inline void rational_clear(fmpq_t x) { fmpq_clear(x); }
inline void rational_poly_init(fmpq_poly_t x) { fmpq_poly_init(x); }
inline void rational_poly_clear(fmpq_poly_t x) { fmpq_poly_clear(x); }
inline void ball_init(arb_t x) { arb_init(x); }
inline void ball_clear(arb_t x) { arb_clear(x); }
inline void ball_poly_init(arb_poly_t x) { arb_poly_init(x); }
inline void ball_poly_clear(arb_poly_t x) { arb_poly_clear(x); }
}  // namespace detail

using Integer = Owned<fmpz_t, detail::integer_init, detail::integer_clear>;
using Rational = Owned<fmpq_t, detail::rational_init, detail::rational_clear>;
using RationalPoly = Owned<fmpq_poly_t, detail::rational_poly_init, detail::rational_poly_clear>;
using Ball = Owned<arb_t, detail::ball_init, detail::ball_clear>;
using BallPoly = Owned<arb_poly_t, detail::ball_poly_init, detail::ball_poly_clear>;

/// The smallest double not below any number of the ball, and the largest not above.
double upper_double(const arb_t x);
double lower_double(const arb_t x);

/// Decimal digits.
std::string text_of(const fmpz_t x);

}  // namespace polyattn::lab
