#pragma once

/// The lane type: 16 floats (F32) or 8 doubles (F64), the same on every instruction set, so that one rounding analysis
/// and one set of bits serve all. This is the specification; the others are its twins.
///
/// Every operation is correctly rounded lane by lane; fma rounds once; `sum` adds in the fixed order
/// ((a0+a4)+(a2+a6)) + ((a1+a5)+(a3+a7)) in float64, floats first folded lane i with lane i+8.

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace polyattn::simd::scalar {

template <class T, int Width>
struct Lanes {
  using Scalar = T;
  static constexpr std::ptrdiff_t width = Width;
  static constexpr int tile_rows = 4;
  static constexpr int tile_vectors = 1;
  static constexpr int columns = 16 / sizeof(T);  ///< what load_columns takes at a time
  T v[static_cast<std::size_t>(Width)];

  static Lanes zero() noexcept { return set(T(0)); }
  static Lanes set(T x) noexcept {
    Lanes out;
    for (T& lane : out.v) {
      lane = x;
    }
    return out;
  }
  static Lanes load(const T* p) noexcept {
    Lanes out;
    for (int i = 0; i < Width; ++i) {
      out.v[i] = p[i];
    }
    return out;
  }
  void store(T* p) const noexcept {
    for (int i = 0; i < Width; ++i) {
      p[i] = v[i];
    }
  }
};

using F32 = Lanes<float, 16>;
using F64 = Lanes<double, 8>;

template <class T, int W, class Op>
Lanes<T, W> map(const Lanes<T, W>& a, const Op& op) noexcept {
  Lanes<T, W> out;
  for (int i = 0; i < W; ++i) {
    out.v[i] = op(a.v[i]);
  }
  return out;
}
template <class T, int W, class Op>
Lanes<T, W> map(const Lanes<T, W>& a, const Lanes<T, W>& b, const Op& op) noexcept {
  Lanes<T, W> out;
  for (int i = 0; i < W; ++i) {
    out.v[i] = op(a.v[i], b.v[i]);
  }
  return out;
}

template <class T, int W>
Lanes<T, W> operator+(const Lanes<T, W>& a, const Lanes<T, W>& b) noexcept {
  return map(a, b, [](T x, T y) { return x + y; });
}
template <class T, int W>
Lanes<T, W> operator-(const Lanes<T, W>& a, const Lanes<T, W>& b) noexcept {
  return map(a, b, [](T x, T y) { return x - y; });
}
template <class T, int W>
Lanes<T, W> operator*(const Lanes<T, W>& a, const Lanes<T, W>& b) noexcept {
  return map(a, b, [](T x, T y) { return x * y; });
}
template <class T, int W>
Lanes<T, W> operator/(const Lanes<T, W>& a, const Lanes<T, W>& b) noexcept {
  return map(a, b, [](T x, T y) { return x / y; });
}
/// a * b + c, one rounding.
template <class T, int W>
Lanes<T, W> fma(const Lanes<T, W>& a, const Lanes<T, W>& b, const Lanes<T, W>& c) noexcept {
  Lanes<T, W> out;
  for (int i = 0; i < W; ++i) {
    out.v[i] = std::fma(a.v[i], b.v[i], c.v[i]);
  }
  return out;
}
/// c - a * b, one rounding.
template <class T, int W>
Lanes<T, W> fnma(const Lanes<T, W>& a, const Lanes<T, W>& b, const Lanes<T, W>& c) noexcept {
  Lanes<T, W> out;
  for (int i = 0; i < W; ++i) {
    out.v[i] = std::fma(-a.v[i], b.v[i], c.v[i]);
  }
  return out;
}
/// a > b ? a : b, so the second operand where one is NaN (as the x86 instruction does).
template <class T, int W>
Lanes<T, W> max(const Lanes<T, W>& a, const Lanes<T, W>& b) noexcept {
  return map(a, b, [](T x, T y) { return x > y ? x : y; });
}
template <class T, int W>
Lanes<T, W> min(const Lanes<T, W>& a, const Lanes<T, W>& b) noexcept {
  return map(a, b, [](T x, T y) { return x < y ? x : y; });
}
template <class T, int W>
Lanes<T, W> abs(const Lanes<T, W>& a) noexcept {
  return map(a, [](T x) { return std::fabs(x); });
}
inline F64 sqrt(const F64& a) noexcept {
  return map(a, [](double x) { return std::sqrt(x); });
}
/// To the nearest integer, ties to even.
template <class T, int W>
Lanes<T, W> round_even(const Lanes<T, W>& a) noexcept {
  return map(a, [](T x) { return std::nearbyint(x); });
}
template <class T, int W>
Lanes<T, W> ceil(const Lanes<T, W>& a) noexcept {
  return map(a, [](T x) { return std::ceil(x); });
}
/// a < b ? x : y, lane by lane; y where a or b is NaN.
template <class T, int W>
Lanes<T, W> select_less(const Lanes<T, W>& a, const Lanes<T, W>& b, const Lanes<T, W>& x,
                        const Lanes<T, W>& y) noexcept {
  Lanes<T, W> out;
  for (int i = 0; i < W; ++i) {
    out.v[i] = a.v[i] < b.v[i] ? x.v[i] : y.v[i];
  }
  return out;
}
/// 2^n for integer-valued n whose power is a normal number.
inline F32 power_of_two(const F32& n) noexcept {
  return map(n, [](float x) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(static_cast<std::int32_t>(x) + 127) << 23U);
  });
}
inline F64 power_of_two(const F64& n) noexcept {
  return map(n, [](double x) {
    return std::bit_cast<double>(static_cast<std::uint64_t>(static_cast<std::int64_t>(x) + 1023) << 52U);
  });
}
/// For z = kRounder + n as computed, n a whole number (so that z - kRounder is n, and n sits in the low bits of z):
/// h 2^n if the power and the product are normal numbers; 0 where x < least, whatever z is.
inline constexpr float kRounder32 = 0x1.8p23F;
inline constexpr double kRounder64 = 0x1.8p52;
inline F32 shift_exponent(const F32& h, const F32& z, const F32& x, const F32& least) noexcept {
  F32 out;
  for (int i = 0; i < 16; ++i) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(h.v[i]) + (std::bit_cast<std::uint32_t>(z.v[i]) << 23U);
    out.v[i] = x.v[i] < least.v[i] ? 0.0F : std::bit_cast<float>(bits);
  }
  return out;
}
inline F64 shift_exponent(const F64& h, const F64& z, const F64& x, const F64& least) noexcept {
  F64 out;
  for (int i = 0; i < 8; ++i) {
    const std::uint64_t bits = std::bit_cast<std::uint64_t>(h.v[i]) + (std::bit_cast<std::uint64_t>(z.v[i]) << 52U);
    out.v[i] = x.v[i] < least.v[i] ? 0.0 : std::bit_cast<double>(bits);
  }
  return out;
}
inline F64 widen_low(const F32& a) noexcept {
  F64 out;
  for (int i = 0; i < 8; ++i) {
    out.v[i] = static_cast<double>(a.v[i]);
  }
  return out;
}
inline F64 widen_high(const F32& a) noexcept {
  F64 out;
  for (int i = 0; i < 8; ++i) {
    out.v[i] = static_cast<double>(a.v[i + 8]);
  }
  return out;
}
inline F64 widen_low(const F64& a) noexcept { return a; }
/// Eight numbers, each rounded once.
template <class T>
void store_as(const F64& a, T* p) noexcept {
  for (int i = 0; i < 8; ++i) {
    p[i] = static_cast<T>(a.v[i]);
  }
}

/// out[c] holds column c of `width` rows: lane i is p[i * stride + c].
template <class T, int W>
void load_columns(const T* p, std::ptrdiff_t stride, Lanes<T, W> (&out)[16 / sizeof(T)]) noexcept {
  for (int c = 0; c < Lanes<T, W>::columns; ++c) {
    for (int i = 0; i < W; ++i) {
      out[c].v[i] = p[i * stride + c];
    }
  }
}

/// Lane j of vector i and lane i of vector j change places.
inline void transpose(F64 (&a)[8]) noexcept {
  for (std::size_t i = 0; i < 8; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const double kept = a[i].v[j];
      a[i].v[j] = a[j].v[i];
      a[j].v[i] = kept;
    }
  }
}

/// Rows of Columns numbers side by side, as columns: lane i of out[c] is p[i * Columns + c].
template <int Columns>
void load_packed(const double* p, F64 (&out)[static_cast<std::size_t>(Columns)]) noexcept {
  for (int c = 0; c < Columns; ++c) {
    for (int i = 0; i < 8; ++i) {
      out[c].v[i] = p[i * Columns + c];
    }
  }
}

inline double sum(const F64& a) noexcept {
  return ((a.v[0] + a.v[4]) + (a.v[2] + a.v[6])) + ((a.v[1] + a.v[5]) + (a.v[3] + a.v[7]));
}
inline double sum(const F32& a) noexcept { return sum(widen_low(a) + widen_high(a)); }

/// out[i] = sum(a[i]).
inline void sums(const F64 (&a)[8], double* out) noexcept {
  for (std::ptrdiff_t i = 0; i < 8; ++i) {
    out[i] = sum(a[i]);
  }
}

/// The lanes of each vector added up in float: l and l + 8, then l + 4, l + 2, l + 1.
inline void sums(const F32 (&a)[16], double* out) noexcept {
  for (std::ptrdiff_t i = 0; i < 16; ++i) {
    float lane[8];
    for (int l = 0; l < 8; ++l) {
      lane[l] = a[i].v[l] + a[i].v[l + 8];
    }
    for (int half = 4; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) {
        lane[l] += lane[l + half];
      }
    }
    out[i] = static_cast<double>(lane[0]);
  }
}

}  // namespace polyattn::simd::scalar
