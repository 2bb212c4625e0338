#pragma once

// Pairs of doubles hi + lo with |lo| <= U |hi|, U = 2^-53: about 105 bits. Portable (no fma, no long double), so that
// the same coefficients come out on every machine. Assumes rounding to nearest.
//
// Every operation below is within kPair = 2^-102 = 16 U^2 of the exact one, relative to the sum of the absolute values
// of its operands (sums) or to the result (products, quotients), underflow apart:
//  * two_sum and two_product are exact (Knuth; Veltkamp and Dekker, for magnitudes below 2^996).
//  * sums: rounding x.lo + y.lo costs at most U^2 (|x.hi| + |y.hi|), adding the error term of x.hi + y.hi at most
//    2.01 U^2 (|x.hi| + |y.hi|).
//  * products: the omitted x.lo y.lo is at most U^2 |xy|, the two cross products cost U^2 each, their sum 2.01 U^2,
//  adding
//    it to the error term of x.hi y.hi 3.01 U^2.
//  * quotients by a double d: with q = fl(x.hi / d) the remainder x.hi - q d, at most U |x.hi|, is formed exactly;
//  adding
//    x.lo to it and dividing cost 2.01 U^2 |x / d| each.

namespace polyattn::numerics {

inline constexpr double kPair = 0x1p-102;

struct Pair {
  double hi = 0.0;
  double lo = 0.0;
};

/// a + b exactly.
constexpr Pair two_sum(double a, double b) noexcept {
  const double sum = a + b;
  const double part = sum - a;
  return {sum, (a - (sum - part)) + (b - part)};
}

/// a + b exactly, for |a| >= |b|.
constexpr Pair quick_two_sum(double a, double b) noexcept {
  const double sum = a + b;
  return {sum, b - (sum - a)};
}

/// a into two halves of 26 bits.
constexpr Pair split(double a) noexcept {
  const double shifted = 134217729.0 * a;
  const double high = shifted - (shifted - a);
  return {high, a - high};
}

/// a b exactly.
constexpr Pair two_product(double a, double b) noexcept {
  const double product = a * b;
  const Pair x = split(a);
  const Pair y = split(b);
  return {product, ((x.hi * y.hi - product) + x.hi * y.lo + x.lo * y.hi) + x.lo * y.lo};
}

constexpr Pair add(Pair x, Pair y) noexcept {
  const Pair sum = two_sum(x.hi, y.hi);
  return two_sum(sum.hi, sum.lo + (x.lo + y.lo));
}

/// The same for operands of equal sign.
constexpr Pair add_same_sign(Pair x, Pair y) noexcept {
  const Pair sum = two_sum(x.hi, y.hi);
  return quick_two_sum(sum.hi, sum.lo + (x.lo + y.lo));
}

constexpr Pair multiply(Pair x, Pair y) noexcept {
  const Pair product = two_product(x.hi, y.hi);
  return quick_two_sum(product.hi, product.lo + (x.hi * y.lo + x.lo * y.hi));
}

constexpr Pair divide(Pair x, double d) noexcept {
  const double quotient = x.hi / d;
  const Pair back = two_product(quotient, d);
  return quick_two_sum(quotient, (((x.hi - back.hi) - back.lo) + x.lo) / d);
}

/// x times a power of two: exact, underflow apart.
constexpr Pair scale(Pair x, double power_of_two) noexcept { return {x.hi * power_of_two, x.lo * power_of_two}; }

}  // namespace polyattn::numerics
