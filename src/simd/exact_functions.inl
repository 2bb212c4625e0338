// Included inside the namespace of one instruction set, after its lanes. See exact_kernels.hpp.

/// What differs between the two arithmetics.
template <class T>
struct Exact;
template <>
struct Exact<float> {
  static constexpr float rounder = kRounder32;
  static constexpr float flush = -125.0F;  // 2^x is a normal number from here on
  static constexpr float least = -0x1.fffffep127F;
  static constexpr float hidden = -__builtin_inff();
  static constexpr int degree = 6;
  static constexpr const float* polynomial = kExp2F32;
};
template <>
struct Exact<double> {
  static constexpr double rounder = kRounder64;
  static constexpr double flush = -1021.0;
  static constexpr double least = -0x1.fffffffffffffp1023;
  static constexpr double hidden = -__builtin_inf();
  static constexpr int degree = 11;
  static constexpr const double* polynomial = kExp2F64;
};

template <class F, int N>
using Vectors = F[static_cast<std::size_t>(N)];
template <class F, int R, int V>
using Matrix = Vectors<Vectors<F, V>, R>;

/// 2^x for N vectors of x <= 0: 0 below `flush`, NaN for NaN; relative error kExp2MaxRel (exp2_constants.hpp). Adding
/// the rounder leaves the nearest whole number in the low bits, and subtracting it is exact, so the fraction is exact
/// too. Step by step for all N at once: the processor's schedulers are too short for one long chain after another.
template <class F, int N>
[[gnu::always_inline]] inline void exp2_negative(Vectors<F, N>& x) noexcept {
  using T = typename F::Scalar;
  using E = Exact<T>;
  Vectors<F, N> shifted;
  Vectors<F, N> fraction;
  Vectors<F, N> h;
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) {
    shifted[n] = x[n] + F::set(E::rounder);
  }
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) {
    fraction[n] = x[n] - (shifted[n] - F::set(E::rounder));
    h[n] = F::set(E::polynomial[E::degree]);
  }
#pragma GCC unroll 16
  for (int k = E::degree - 1; k >= 0; --k) {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      h[n] = fma(h[n], fraction[n], F::set(E::polynomial[k]));
    }
  }
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) {
    x[n] = shift_exponent(h[n], shifted[n], x[n], F::set(E::flush));
  }
}

/// 2^x for whole x <= 0, exactly; 0 below `flush`.
template <class F>
inline F exact_power(F x) noexcept {
  using E = Exact<typename F::Scalar>;
  const F power = power_of_two(max(x, F::set(E::flush)));
  return select_less(x, F::set(E::flush), F::zero(), power);
}

/// c tanh(s / c) in log2 units: `in` = 2 / c, `out` = c log2(e). With z = n + f the nearest whole number and the rest,
/// 2^z - 1 = 2^n (2^f - 1) + (2^n - 1) has no cancellation worth the name, and tanh = (2^z - 1) / (2^z - 1 + 2).
/// Relative error at most kSoftCapMaxRel (exp2_constants.hpp).
template <class F>
inline F soft_cap(F s, typename F::Scalar in, typename F::Scalar out) noexcept {
  using T = typename F::Scalar;
  using E = Exact<T>;
  const F z = min(F::set(T(60)), abs(s) * F::set(in));  // tanh is 1 beyond; a NaN stays one
  const F shifted = z + F::set(E::rounder);
  const F whole = shifted - F::set(E::rounder);
  const F fraction = z - whole;
  F h = F::set(E::polynomial[E::degree]);
#pragma GCC unroll 16
  for (int k = E::degree - 1; k >= 1; --k) {
    h = fma(h, fraction, F::set(E::polynomial[k]));
  }
  const F power = power_of_two(whole);
  const F less_one = fma(power, h * fraction, power - F::set(T(1)));
  const F size = F::set(out) * (less_one / (less_one + F::set(T(2))));
  return select_less(s, F::zero(), F::zero() - size, size);
}

/// One term of a raw score; `factor` of the Gaussian one.
template <class F, TileScore Kind>
[[gnu::always_inline]] inline F add_product(F k, F q, F factor, F acc) noexcept {
  if constexpr (Kind == TileScore::dot) {
    return fma(k, q, acc);
  } else if constexpr (Kind == TileScore::isotropic) {
    const F t = q - k;
    return fma(t, t, acc);
  } else {
    const F t = (q - k) * factor;
    return fnma(t, t, acc);
  }
}
