#pragma once

/// The lanes of lanes_avx512.hpp in two registers of 256 bits. See lanes_scalar.hpp for what each operation means.

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

namespace polyattn::simd::avx2 {

struct F32 {
  using Scalar = float;
  static constexpr std::ptrdiff_t width = 16;
  static constexpr int tile_rows = 4;  ///< 8 accumulator registers, 2 of data, 1 of broadcast
  static constexpr int tile_vectors = 1;
  static constexpr int columns = 4;
  __m256 lo;
  __m256 hi;

  static F32 zero() noexcept { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static F32 set(float x) noexcept { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static F32 load(const float* p) noexcept { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  void store(float* p) const noexcept {
    _mm256_storeu_ps(p, lo);
    _mm256_storeu_ps(p + 8, hi);
  }
};

struct F64 {
  using Scalar = double;
  static constexpr std::ptrdiff_t width = 8;
  static constexpr int tile_rows = 4;
  static constexpr int tile_vectors = 1;
  static constexpr int columns = 2;
  __m256d lo;
  __m256d hi;

  static F64 zero() noexcept { return {_mm256_setzero_pd(), _mm256_setzero_pd()}; }
  static F64 set(double x) noexcept { return {_mm256_set1_pd(x), _mm256_set1_pd(x)}; }
  static F64 load(const double* p) noexcept { return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
  void store(double* p) const noexcept {
    _mm256_storeu_pd(p, lo);
    _mm256_storeu_pd(p + 4, hi);
  }
};

inline F32 operator+(F32 a, F32 b) noexcept { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline F64 operator+(F64 a, F64 b) noexcept { return {_mm256_add_pd(a.lo, b.lo), _mm256_add_pd(a.hi, b.hi)}; }
inline F32 operator-(F32 a, F32 b) noexcept { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline F64 operator-(F64 a, F64 b) noexcept { return {_mm256_sub_pd(a.lo, b.lo), _mm256_sub_pd(a.hi, b.hi)}; }
inline F32 operator*(F32 a, F32 b) noexcept { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline F64 operator*(F64 a, F64 b) noexcept { return {_mm256_mul_pd(a.lo, b.lo), _mm256_mul_pd(a.hi, b.hi)}; }
inline F32 operator/(F32 a, F32 b) noexcept { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline F64 operator/(F64 a, F64 b) noexcept { return {_mm256_div_pd(a.lo, b.lo), _mm256_div_pd(a.hi, b.hi)}; }
inline F32 fma(F32 a, F32 b, F32 c) noexcept {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline F64 fma(F64 a, F64 b, F64 c) noexcept {
  return {_mm256_fmadd_pd(a.lo, b.lo, c.lo), _mm256_fmadd_pd(a.hi, b.hi, c.hi)};
}
inline F32 fnma(F32 a, F32 b, F32 c) noexcept {
  return {_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}
inline F64 fnma(F64 a, F64 b, F64 c) noexcept {
  return {_mm256_fnmadd_pd(a.lo, b.lo, c.lo), _mm256_fnmadd_pd(a.hi, b.hi, c.hi)};
}
inline F32 max(F32 a, F32 b) noexcept { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline F64 max(F64 a, F64 b) noexcept { return {_mm256_max_pd(a.lo, b.lo), _mm256_max_pd(a.hi, b.hi)}; }
inline F32 min(F32 a, F32 b) noexcept { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline F64 min(F64 a, F64 b) noexcept { return {_mm256_min_pd(a.lo, b.lo), _mm256_min_pd(a.hi, b.hi)}; }
inline F32 abs(F32 a) noexcept {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
inline F64 abs(F64 a) noexcept {
  const __m256d sign = _mm256_set1_pd(-0.0);
  return {_mm256_andnot_pd(sign, a.lo), _mm256_andnot_pd(sign, a.hi)};
}
inline F64 sqrt(F64 a) noexcept { return {_mm256_sqrt_pd(a.lo), _mm256_sqrt_pd(a.hi)}; }
inline F32 round_even(F32 a) noexcept {
  constexpr int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.lo, mode), _mm256_round_ps(a.hi, mode)};
}
inline F64 round_even(F64 a) noexcept {
  constexpr int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_pd(a.lo, mode), _mm256_round_pd(a.hi, mode)};
}
inline F32 ceil(F32 a) noexcept { return {_mm256_ceil_ps(a.lo), _mm256_ceil_ps(a.hi)}; }
inline F64 ceil(F64 a) noexcept { return {_mm256_ceil_pd(a.lo), _mm256_ceil_pd(a.hi)}; }
inline F32 select_less(F32 a, F32 b, F32 x, F32 y) noexcept {
  return {_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
inline F64 select_less(F64 a, F64 b, F64 x, F64 y) noexcept {
  return {_mm256_blendv_pd(y.lo, x.lo, _mm256_cmp_pd(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_pd(y.hi, x.hi, _mm256_cmp_pd(a.hi, b.hi, _CMP_LT_OQ))};
}
inline F32 power_of_two(F32 n) noexcept {
  const auto half = [](__m256 x) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
  };
  return {half(n.lo), half(n.hi)};
}
inline F64 power_of_two(F64 n) noexcept {
  const auto half = [](__m256d x) {
    const __m256i biased = _mm256_castpd_si256(_mm256_add_pd(x, _mm256_set1_pd(0x1.8p52 + 1023.0)));
    return _mm256_castsi256_pd(_mm256_slli_epi64(biased, 52));
  };
  return {half(n.lo), half(n.hi)};
}
inline constexpr float kRounder32 = 0x1.8p23F;
inline constexpr double kRounder64 = 0x1.8p52;
inline F32 shift_exponent(F32 h, F32 z, F32 x, F32 least) noexcept {
  const auto half = [](__m256 p, __m256 n, __m256 a, __m256 b) {
    const __m256i bits = _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(n), 23));
    return _mm256_andnot_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ), _mm256_castsi256_ps(bits));
  };
  return {half(h.lo, z.lo, x.lo, least.lo), half(h.hi, z.hi, x.hi, least.hi)};
}
inline F64 shift_exponent(F64 h, F64 z, F64 x, F64 least) noexcept {
  const auto half = [](__m256d p, __m256d n, __m256d a, __m256d b) {
    const __m256i bits = _mm256_add_epi64(_mm256_castpd_si256(p), _mm256_slli_epi64(_mm256_castpd_si256(n), 52));
    return _mm256_andnot_pd(_mm256_cmp_pd(a, b, _CMP_LT_OQ), _mm256_castsi256_pd(bits));
  };
  return {half(h.lo, z.lo, x.lo, least.lo), half(h.hi, z.hi, x.hi, least.hi)};
}
inline F64 widen_low(F32 a) noexcept {
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(a.lo)), _mm256_cvtps_pd(_mm256_extractf128_ps(a.lo, 1))};
}
inline F64 widen_high(F32 a) noexcept {
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(a.hi)), _mm256_cvtps_pd(_mm256_extractf128_ps(a.hi, 1))};
}
inline F64 widen_low(F64 a) noexcept { return a; }
inline void store_as(F64 a, float* p) noexcept {
  _mm_storeu_ps(p, _mm256_cvtpd_ps(a.lo));
  _mm_storeu_ps(p + 4, _mm256_cvtpd_ps(a.hi));
}
inline void store_as(F64 a, double* p) noexcept { a.store(p); }

inline void load_columns(const float* p, std::ptrdiff_t stride, F32 (&out)[4]) noexcept {
  const auto half = [&](const float* rows, __m256(&columns)[4]) {
    __m256 a[4];
    for (int i = 0; i < 4; ++i) {
      a[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows + i * stride)),
                                  _mm_loadu_ps(rows + (i + 4) * stride), 1);
    }
    const __m256 low01 = _mm256_unpacklo_ps(a[0], a[1]);
    const __m256 high01 = _mm256_unpackhi_ps(a[0], a[1]);
    const __m256 low23 = _mm256_unpacklo_ps(a[2], a[3]);
    const __m256 high23 = _mm256_unpackhi_ps(a[2], a[3]);
    columns[0] = _mm256_shuffle_ps(low01, low23, 0x44);
    columns[1] = _mm256_shuffle_ps(low01, low23, 0xee);
    columns[2] = _mm256_shuffle_ps(high01, high23, 0x44);
    columns[3] = _mm256_shuffle_ps(high01, high23, 0xee);
  };
  __m256 low[4];
  __m256 high[4];
  half(p, low);
  half(p + 8 * stride, high);
  for (int c = 0; c < 4; ++c) {
    out[c] = {low[c], high[c]};
  }
}
inline void load_columns(const double* p, std::ptrdiff_t stride, F64 (&out)[2]) noexcept {
  const auto half = [&](const double* rows, __m256d(&columns)[2]) {
    __m256d a[2];
    for (int i = 0; i < 2; ++i) {
      a[i] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(rows + i * stride)),
                                  _mm_loadu_pd(rows + (i + 2) * stride), 1);
    }
    columns[0] = _mm256_unpacklo_pd(a[0], a[1]);
    columns[1] = _mm256_unpackhi_pd(a[0], a[1]);
  };
  __m256d low[2];
  __m256d high[2];
  half(p, low);
  half(p + 4 * stride, high);
  for (int c = 0; c < 2; ++c) {
    out[c] = {low[c], high[c]};
  }
}

inline void transpose(__m256d& a, __m256d& b, __m256d& c, __m256d& d) noexcept {
  const __m256d low_ab = _mm256_unpacklo_pd(a, b);
  const __m256d high_ab = _mm256_unpackhi_pd(a, b);
  const __m256d low_cd = _mm256_unpacklo_pd(c, d);
  const __m256d high_cd = _mm256_unpackhi_pd(c, d);
  a = _mm256_permute2f128_pd(low_ab, low_cd, 0x20);
  b = _mm256_permute2f128_pd(high_ab, high_cd, 0x20);
  c = _mm256_permute2f128_pd(low_ab, low_cd, 0x31);
  d = _mm256_permute2f128_pd(high_ab, high_cd, 0x31);
}
/// Squares of four: those off the diagonal change places.
inline void transpose(F64 (&a)[8]) noexcept {
  transpose(a[0].lo, a[1].lo, a[2].lo, a[3].lo);
  transpose(a[4].hi, a[5].hi, a[6].hi, a[7].hi);
  transpose(a[0].hi, a[1].hi, a[2].hi, a[3].hi);
  transpose(a[4].lo, a[5].lo, a[6].lo, a[7].lo);
  for (int i = 0; i < 4; ++i) {
    const __m256d kept = a[i].hi;
    a[i].hi = a[i + 4].lo;
    a[i + 4].lo = kept;
  }
}
template <int Columns>
void load_packed(const double* p, F64 (&out)[static_cast<std::size_t>(Columns)]) noexcept {
  for (int c = 0; c < Columns; ++c) {
    const double* q = p + c;
    out[c].lo = _mm256_setr_pd(q[0], q[Columns], q[2 * Columns], q[3 * Columns]);
    out[c].hi = _mm256_setr_pd(q[4 * Columns], q[5 * Columns], q[6 * Columns], q[7 * Columns]);
  }
}

/// ((a0+a4)+(a2+a6)) + ((a1+a5)+(a3+a7)).
inline double sum(F64 a) noexcept {
  const __m256d four = _mm256_add_pd(a.lo, a.hi);
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}
inline double sum(F32 a) noexcept { return sum(widen_low(a) + widen_high(a)); }

/// out[i] = sum(a[i]).
inline void sums(const F64 (&a)[8], double* out) noexcept {
  for (std::ptrdiff_t i = 0; i < 8; ++i) {
    out[i] = sum(a[i]);
  }
}

/// The lanes of each vector added up in float: l and l + 8, then l + 4, l + 2, l + 1.
inline void sums(const F32 (&a)[16], double* out) noexcept {
  for (std::ptrdiff_t i = 0; i < 16; ++i) {
    const __m256 eight = _mm256_add_ps(a[i].lo, a[i].hi);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    out[i] = static_cast<double>(_mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1))));
  }
}

}  // namespace polyattn::simd::avx2
