#pragma once

/// Lanes of 512 bits: 16 floats or 8 doubles in one register. See lanes_scalar.hpp for what each operation means.

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

namespace polyattn::simd::avx512 {

struct F64;

struct F32 {
  using Scalar = float;
  static constexpr std::ptrdiff_t width = 16;
  static constexpr int tile_rows = 8;  ///< register tile of the kernels: rows x vectors accumulators
  static constexpr int tile_vectors = 3;
  static constexpr int columns = 4;
  __m512 v;

  static F32 zero() noexcept { return {_mm512_setzero_ps()}; }
  static F32 set(float x) noexcept { return {_mm512_set1_ps(x)}; }
  static F32 load(const float* p) noexcept { return {_mm512_loadu_ps(p)}; }
  void store(float* p) const noexcept { _mm512_storeu_ps(p, v); }
};

struct F64 {
  using Scalar = double;
  static constexpr std::ptrdiff_t width = 8;
  static constexpr int tile_rows = 8;
  static constexpr int tile_vectors = 3;
  static constexpr int columns = 2;
  __m512d v;

  static F64 zero() noexcept { return {_mm512_setzero_pd()}; }
  static F64 set(double x) noexcept { return {_mm512_set1_pd(x)}; }
  static F64 load(const double* p) noexcept { return {_mm512_loadu_pd(p)}; }
  void store(double* p) const noexcept { _mm512_storeu_pd(p, v); }
};

inline F32 operator+(F32 a, F32 b) noexcept { return {_mm512_add_ps(a.v, b.v)}; }
inline F64 operator+(F64 a, F64 b) noexcept { return {_mm512_add_pd(a.v, b.v)}; }
inline F32 operator-(F32 a, F32 b) noexcept { return {_mm512_sub_ps(a.v, b.v)}; }
inline F64 operator-(F64 a, F64 b) noexcept { return {_mm512_sub_pd(a.v, b.v)}; }
inline F32 operator*(F32 a, F32 b) noexcept { return {_mm512_mul_ps(a.v, b.v)}; }
inline F64 operator*(F64 a, F64 b) noexcept { return {_mm512_mul_pd(a.v, b.v)}; }
inline F32 operator/(F32 a, F32 b) noexcept { return {_mm512_div_ps(a.v, b.v)}; }
inline F64 operator/(F64 a, F64 b) noexcept { return {_mm512_div_pd(a.v, b.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) noexcept { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F64 fma(F64 a, F64 b, F64 c) noexcept { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
inline F32 fnma(F32 a, F32 b, F32 c) noexcept { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
inline F64 fnma(F64 a, F64 b, F64 c) noexcept { return {_mm512_fnmadd_pd(a.v, b.v, c.v)}; }
inline F32 max(F32 a, F32 b) noexcept { return {_mm512_max_ps(a.v, b.v)}; }
inline F64 max(F64 a, F64 b) noexcept { return {_mm512_max_pd(a.v, b.v)}; }
inline F32 min(F32 a, F32 b) noexcept { return {_mm512_min_ps(a.v, b.v)}; }
inline F64 min(F64 a, F64 b) noexcept { return {_mm512_min_pd(a.v, b.v)}; }
inline F32 abs(F32 a) noexcept { return {_mm512_abs_ps(a.v)}; }
inline F64 abs(F64 a) noexcept { return {_mm512_abs_pd(a.v)}; }
inline F64 sqrt(F64 a) noexcept { return {_mm512_sqrt_pd(a.v)}; }
inline F32 round_even(F32 a) noexcept {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline F64 round_even(F64 a) noexcept {
  return {_mm512_roundscale_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline F32 ceil(F32 a) noexcept { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)}; }
inline F64 ceil(F64 a) noexcept { return {_mm512_roundscale_pd(a.v, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)}; }
inline F32 select_less(F32 a, F32 b, F32 x, F32 y) noexcept {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
inline F64 select_less(F64 a, F64 b, F64 x, F64 y) noexcept {
  return {_mm512_mask_blend_pd(_mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
inline F32 power_of_two(F32 n) noexcept {
  const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(biased, 23))};
}
inline F64 power_of_two(F64 n) noexcept {
  const __m512i biased = _mm512_castpd_si512(_mm512_add_pd(n.v, _mm512_set1_pd(0x1.8p52 + 1023.0)));
  return {_mm512_castsi512_pd(_mm512_slli_epi64(biased, 52))};
}
inline constexpr float kRounder32 = 0x1.8p23F;
inline constexpr double kRounder64 = 0x1.8p52;
inline F32 shift_exponent(F32 h, F32 z, F32 x, F32 least) noexcept {
  const __mmask16 keep = _mm512_cmp_ps_mask(x.v, least.v, _CMP_NLT_UQ);
  const __m512i shift = _mm512_slli_epi32(_mm512_castps_si512(z.v), 23);
  return {_mm512_castsi512_ps(_mm512_maskz_add_epi32(keep, _mm512_castps_si512(h.v), shift))};
}
inline F64 shift_exponent(F64 h, F64 z, F64 x, F64 least) noexcept {
  const __mmask8 keep = _mm512_cmp_pd_mask(x.v, least.v, _CMP_NLT_UQ);
  const __m512i shift = _mm512_slli_epi64(_mm512_castpd_si512(z.v), 52);
  return {_mm512_castsi512_pd(_mm512_maskz_add_epi64(keep, _mm512_castpd_si512(h.v), shift))};
}
inline F64 widen_low(F32 a) noexcept { return {_mm512_cvtps_pd(_mm512_castps512_ps256(a.v))}; }
inline F64 widen_high(F32 a) noexcept { return {_mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1))}; }
inline F64 widen_low(F64 a) noexcept { return a; }
inline void store_as(F64 a, float* p) noexcept { _mm256_storeu_ps(p, _mm512_cvtpd_ps(a.v)); }
inline void store_as(F64 a, double* p) noexcept { a.store(p); }

inline void load_columns(const float* p, std::ptrdiff_t stride, F32 (&out)[4]) noexcept {
  __m512 a[4];
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm512_castps128_ps512(_mm_loadu_ps(p + i * stride));
    a[i] = _mm512_insertf32x4(a[i], _mm_loadu_ps(p + (i + 4) * stride), 1);
    a[i] = _mm512_insertf32x4(a[i], _mm_loadu_ps(p + (i + 8) * stride), 2);
    a[i] = _mm512_insertf32x4(a[i], _mm_loadu_ps(p + (i + 12) * stride), 3);
  }
  const __m512 low01 = _mm512_unpacklo_ps(a[0], a[1]);
  const __m512 high01 = _mm512_unpackhi_ps(a[0], a[1]);
  const __m512 low23 = _mm512_unpacklo_ps(a[2], a[3]);
  const __m512 high23 = _mm512_unpackhi_ps(a[2], a[3]);
  out[0] = {_mm512_shuffle_ps(low01, low23, 0x44)};
  out[1] = {_mm512_shuffle_ps(low01, low23, 0xee)};
  out[2] = {_mm512_shuffle_ps(high01, high23, 0x44)};
  out[3] = {_mm512_shuffle_ps(high01, high23, 0xee)};
}
inline void load_columns(const double* p, std::ptrdiff_t stride, F64 (&out)[2]) noexcept {
  __m512d a[2];
  for (int i = 0; i < 2; ++i) {
    a[i] = _mm512_castpd128_pd512(_mm_loadu_pd(p + i * stride));
    a[i] = _mm512_insertf64x2(a[i], _mm_loadu_pd(p + (i + 2) * stride), 1);
    a[i] = _mm512_insertf64x2(a[i], _mm_loadu_pd(p + (i + 4) * stride), 2);
    a[i] = _mm512_insertf64x2(a[i], _mm_loadu_pd(p + (i + 6) * stride), 3);
  }
  out[0] = {_mm512_unpacklo_pd(a[0], a[1])};
  out[1] = {_mm512_unpackhi_pd(a[0], a[1])};
}

inline void transpose(F64 (&a)[8]) noexcept {
  __m512d two[8];  // pairs of rows
  for (int i = 0; i < 8; i += 2) {
    two[i] = _mm512_unpacklo_pd(a[i].v, a[i + 1].v);
    two[i + 1] = _mm512_unpackhi_pd(a[i].v, a[i + 1].v);
  }
  __m512d four[8];  // of four rows: columns 0 4, 2 6 at even places, 1 5, 3 7 at odd ones
  for (int i = 0; i < 8; i += 4) {
    for (int j = 0; j < 2; ++j) {
      four[i + j] = _mm512_shuffle_f64x2(two[i + j], two[i + j + 2], 0x88);
      four[i + j + 2] = _mm512_shuffle_f64x2(two[i + j], two[i + j + 2], 0xdd);
    }
  }
  for (int j = 0; j < 4; ++j) {
    a[j].v = _mm512_shuffle_f64x2(four[j], four[j + 4], 0x88);
    a[j + 4].v = _mm512_shuffle_f64x2(four[j], four[j + 4], 0xdd);
  }
}

/// Lane i of column c lies in register (i Columns + c) / 8: lanes are put together register by register.
template <int Columns>
void load_packed(const double* p, F64 (&out)[static_cast<std::size_t>(Columns)]) noexcept {
  __m512d rows[static_cast<std::size_t>(Columns)];
  for (int r = 0; r < Columns; ++r) {
    rows[r] = _mm512_loadu_pd(p + 8 * r);
  }
#pragma GCC unroll 8
  for (int c = 0; c < Columns; ++c) {
    const auto place = [c](int i) { return i * Columns + c; };
    const __m512i lane = _mm512_setr_epi64(place(0) % 8, place(1) % 8, place(2) % 8, place(3) % 8, place(4) % 8,
                                           place(5) % 8, place(6) % 8, place(7) % 8);
    __m512d column = _mm512_permutexvar_pd(lane, rows[0]);
#pragma GCC unroll 8
    for (int r = 1; r < Columns; ++r) {
      unsigned mask = 0;
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        mask |= place(i) / 8 == r ? 1U << static_cast<unsigned>(i) : 0U;
      }
      column = _mm512_mask_permutexvar_pd(column, static_cast<__mmask8>(mask), lane, rows[r]);
    }
    out[c].v = column;
  }
}

/// ((a0+a4)+(a2+a6)) + ((a1+a5)+(a3+a7)).
inline double sum(F64 a) noexcept {
  const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(a.v), _mm512_extractf64x4_pd(a.v, 1));
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}
inline double sum(F32 a) noexcept { return sum(widen_low(a) + widen_high(a)); }

/// The lanes of sixteen vectors added up in float: l and l + 8, then l + 4, l + 2, l + 1, of all vectors side by side.
inline void sums(const F32 (&a)[16], double* out) noexcept {
  __m512 eight[8];
  for (int i = 0; i < 8; ++i) {
    eight[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a[2 * i].v, a[2 * i + 1].v, 0x44),
                             _mm512_shuffle_f32x4(a[2 * i].v, a[2 * i + 1].v, 0xee));
  }
  __m512 four[4];
  for (int i = 0; i < 4; ++i) {
    four[i] = _mm512_add_ps(_mm512_shuffle_f32x4(eight[2 * i], eight[2 * i + 1], 0x88),
                            _mm512_shuffle_f32x4(eight[2 * i], eight[2 * i + 1], 0xdd));
  }
  __m512 two[2];
  for (int i = 0; i < 2; ++i) {
    two[i] = _mm512_add_ps(_mm512_shuffle_ps(four[2 * i], four[2 * i + 1], 0x44),
                           _mm512_shuffle_ps(four[2 * i], four[2 * i + 1], 0xee));
  }
  // Lane 4 k + m holds the sum of vector 4 m + k: put them in order.
  const __m512 one = _mm512_add_ps(_mm512_shuffle_ps(two[0], two[1], 0x88), _mm512_shuffle_ps(two[0], two[1], 0xdd));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const F32 sorted{_mm512_permutexvar_ps(order, one)};
  widen_low(sorted).store(out);
  widen_high(sorted).store(out + 8);
}

/// out[i] = sum(a[i]), the additions of all eight side by side: at every step halves of two vectors are put together.
inline void sums(const F64 (&a)[8], double* out) noexcept {
  __m512d four[4];  // a0+a4 ... a3+a7 of two vectors each
  for (int i = 0; i < 4; ++i) {
    const __m512d low = _mm512_shuffle_f64x2(a[2 * i].v, a[2 * i + 1].v, 0x44);
    const __m512d high = _mm512_shuffle_f64x2(a[2 * i].v, a[2 * i + 1].v, 0xee);
    four[i] = _mm512_add_pd(low, high);
  }
  __m512d two[2];  // of four vectors each
  for (int i = 0; i < 2; ++i) {
    const __m512d low = _mm512_shuffle_f64x2(four[2 * i], four[2 * i + 1], 0x88);
    const __m512d high = _mm512_shuffle_f64x2(four[2 * i], four[2 * i + 1], 0xdd);
    two[i] = _mm512_add_pd(low, high);
  }
  const __m512d one = _mm512_add_pd(_mm512_unpacklo_pd(two[0], two[1]), _mm512_unpackhi_pd(two[0], two[1]));
  const __m512i order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);  // 0 4 1 5 2 6 3 7 so far
  _mm512_storeu_pd(out, _mm512_permutexvar_pd(order, one));
}

}  // namespace polyattn::simd::avx512
