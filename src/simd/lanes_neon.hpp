#pragma once

/// The lanes of lanes_avx512.hpp in four registers of 128 bits. See lanes_scalar.hpp for what each operation means.

#include <cstddef>
#include <cstdint>

#include <arm_neon.h>

namespace polyattn::simd::neon {

struct F32 {
  using Scalar = float;
  static constexpr std::ptrdiff_t width = 16;
  static constexpr int tile_rows = 4;  ///< 16 accumulator registers of 32, 4 of data, 1 of broadcast
  static constexpr int tile_vectors = 1;
  static constexpr int columns = 4;
  float32x4_t v[4];

  static F32 zero() noexcept { return set(0.0F); }
  static F32 set(float x) noexcept {
    const float32x4_t all = vdupq_n_f32(x);
    return {all, all, all, all};
  }
  static F32 load(const float* p) noexcept {
    return {vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
  }
  void store(float* p) const noexcept {
    vst1q_f32(p, v[0]);
    vst1q_f32(p + 4, v[1]);
    vst1q_f32(p + 8, v[2]);
    vst1q_f32(p + 12, v[3]);
  }
};

struct F64 {
  using Scalar = double;
  static constexpr std::ptrdiff_t width = 8;
  static constexpr int tile_rows = 4;
  static constexpr int tile_vectors = 1;
  static constexpr int columns = 2;
  float64x2_t v[4];

  static F64 zero() noexcept { return set(0.0); }
  static F64 set(double x) noexcept {
    const float64x2_t all = vdupq_n_f64(x);
    return {all, all, all, all};
  }
  static F64 load(const double* p) noexcept {
    return {vld1q_f64(p), vld1q_f64(p + 2), vld1q_f64(p + 4), vld1q_f64(p + 6)};
  }
  void store(double* p) const noexcept {
    vst1q_f64(p, v[0]);
    vst1q_f64(p + 2, v[1]);
    vst1q_f64(p + 4, v[2]);
    vst1q_f64(p + 6, v[3]);
  }
};

/// op(i) for each register i. Written out: g++ keeps an array in registers if its indices are constants early.
template <class F, class Op>
[[gnu::always_inline]] inline F each(const Op& op) noexcept {
  return {op(0), op(1), op(2), op(3)};
}

inline F32 operator+(F32 a, F32 b) noexcept {
  return each<F32>([&](int i) { return vaddq_f32(a.v[i], b.v[i]); });
}
inline F64 operator+(F64 a, F64 b) noexcept {
  return each<F64>([&](int i) { return vaddq_f64(a.v[i], b.v[i]); });
}
inline F32 operator-(F32 a, F32 b) noexcept {
  return each<F32>([&](int i) { return vsubq_f32(a.v[i], b.v[i]); });
}
inline F64 operator-(F64 a, F64 b) noexcept {
  return each<F64>([&](int i) { return vsubq_f64(a.v[i], b.v[i]); });
}
inline F32 operator*(F32 a, F32 b) noexcept {
  return each<F32>([&](int i) { return vmulq_f32(a.v[i], b.v[i]); });
}
inline F64 operator*(F64 a, F64 b) noexcept {
  return each<F64>([&](int i) { return vmulq_f64(a.v[i], b.v[i]); });
}
inline F32 operator/(F32 a, F32 b) noexcept {
  return each<F32>([&](int i) { return vdivq_f32(a.v[i], b.v[i]); });
}
inline F64 operator/(F64 a, F64 b) noexcept {
  return each<F64>([&](int i) { return vdivq_f64(a.v[i], b.v[i]); });
}
inline F32 fma(F32 a, F32 b, F32 c) noexcept {
  return each<F32>([&](int i) { return vfmaq_f32(c.v[i], a.v[i], b.v[i]); });
}
inline F64 fma(F64 a, F64 b, F64 c) noexcept {
  return each<F64>([&](int i) { return vfmaq_f64(c.v[i], a.v[i], b.v[i]); });
}
inline F32 fnma(F32 a, F32 b, F32 c) noexcept {
  return each<F32>([&](int i) { return vfmsq_f32(c.v[i], a.v[i], b.v[i]); });
}
inline F64 fnma(F64 a, F64 b, F64 c) noexcept {
  return each<F64>([&](int i) { return vfmsq_f64(c.v[i], a.v[i], b.v[i]); });
}
inline F32 select_less(F32 a, F32 b, F32 x, F32 y) noexcept {
  return each<F32>([&](int i) { return vbslq_f32(vcltq_f32(a.v[i], b.v[i]), x.v[i], y.v[i]); });
}
inline F64 select_less(F64 a, F64 b, F64 x, F64 y) noexcept {
  return each<F64>([&](int i) { return vbslq_f64(vcltq_f64(a.v[i], b.v[i]), x.v[i], y.v[i]); });
}
// The processor's own maximum and minimum pass on NaN from either side.
inline F32 max(F32 a, F32 b) noexcept { return select_less(b, a, a, b); }
inline F64 max(F64 a, F64 b) noexcept { return select_less(b, a, a, b); }
inline F32 min(F32 a, F32 b) noexcept { return select_less(a, b, a, b); }
inline F64 min(F64 a, F64 b) noexcept { return select_less(a, b, a, b); }
inline F32 abs(F32 a) noexcept {
  return each<F32>([&](int i) { return vabsq_f32(a.v[i]); });
}
inline F64 abs(F64 a) noexcept {
  return each<F64>([&](int i) { return vabsq_f64(a.v[i]); });
}
inline F64 sqrt(F64 a) noexcept {
  return each<F64>([&](int i) { return vsqrtq_f64(a.v[i]); });
}
inline F32 round_even(F32 a) noexcept {
  return each<F32>([&](int i) { return vrndnq_f32(a.v[i]); });
}
inline F64 round_even(F64 a) noexcept {
  return each<F64>([&](int i) { return vrndnq_f64(a.v[i]); });
}
inline F32 ceil(F32 a) noexcept {
  return each<F32>([&](int i) { return vrndpq_f32(a.v[i]); });
}
inline F64 ceil(F64 a) noexcept {
  return each<F64>([&](int i) { return vrndpq_f64(a.v[i]); });
}
inline F32 power_of_two(F32 n) noexcept {
  return each<F32>([&](int i) {
    const int32x4_t biased = vaddq_s32(vcvtq_s32_f32(n.v[i]), vdupq_n_s32(127));
    return vreinterpretq_f32_s32(vshlq_n_s32(biased, 23));
  });
}
inline F64 power_of_two(F64 n) noexcept {
  return each<F64>([&](int i) {
    const int64x2_t biased = vaddq_s64(vcvtq_s64_f64(n.v[i]), vdupq_n_s64(1023));
    return vreinterpretq_f64_s64(vshlq_n_s64(biased, 52));
  });
}
inline constexpr float kRounder32 = 0x1.8p23F;
inline constexpr double kRounder64 = 0x1.8p52;
inline F32 shift_exponent(F32 h, F32 z, F32 x, F32 least) noexcept {
  return each<F32>([&](int i) {
    const uint32x4_t shift = vshlq_n_u32(vreinterpretq_u32_f32(z.v[i]), 23);
    const uint32x4_t bits = vaddq_u32(vreinterpretq_u32_f32(h.v[i]), shift);
    return vreinterpretq_f32_u32(vbicq_u32(bits, vcltq_f32(x.v[i], least.v[i])));
  });
}
inline F64 shift_exponent(F64 h, F64 z, F64 x, F64 least) noexcept {
  return each<F64>([&](int i) {
    const uint64x2_t shift = vshlq_n_u64(vreinterpretq_u64_f64(z.v[i]), 52);
    const uint64x2_t bits = vaddq_u64(vreinterpretq_u64_f64(h.v[i]), shift);
    return vreinterpretq_f64_u64(vbicq_u64(bits, vcltq_f64(x.v[i], least.v[i])));
  });
}
inline F64 widen_low(F32 a) noexcept {
  return {vcvt_f64_f32(vget_low_f32(a.v[0])), vcvt_high_f64_f32(a.v[0]), vcvt_f64_f32(vget_low_f32(a.v[1])),
          vcvt_high_f64_f32(a.v[1])};
}
inline F64 widen_high(F32 a) noexcept {
  return {vcvt_f64_f32(vget_low_f32(a.v[2])), vcvt_high_f64_f32(a.v[2]), vcvt_f64_f32(vget_low_f32(a.v[3])),
          vcvt_high_f64_f32(a.v[3])};
}
inline F64 widen_low(F64 a) noexcept { return a; }
inline void store_as(F64 a, float* p) noexcept {
  vst1q_f32(p, vcvt_high_f32_f64(vcvt_f32_f64(a.v[0]), a.v[1]));
  vst1q_f32(p + 4, vcvt_high_f32_f64(vcvt_f32_f64(a.v[2]), a.v[3]));
}
inline void store_as(F64 a, double* p) noexcept { a.store(p); }

inline void load_columns(const float* p, std::ptrdiff_t stride, F32 (&out)[4]) noexcept {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const float* rows = p + 4 * i * stride;
    const float32x4_t a[4] = {vld1q_f32(rows), vld1q_f32(rows + stride), vld1q_f32(rows + 2 * stride),
                              vld1q_f32(rows + 3 * stride)};
    const float64x2_t even01 = vreinterpretq_f64_f32(vtrn1q_f32(a[0], a[1]));  // columns 0 and 2 of rows 0 and 1
    const float64x2_t odd01 = vreinterpretq_f64_f32(vtrn2q_f32(a[0], a[1]));
    const float64x2_t even23 = vreinterpretq_f64_f32(vtrn1q_f32(a[2], a[3]));
    const float64x2_t odd23 = vreinterpretq_f64_f32(vtrn2q_f32(a[2], a[3]));
    out[0].v[i] = vreinterpretq_f32_f64(vtrn1q_f64(even01, even23));
    out[1].v[i] = vreinterpretq_f32_f64(vtrn1q_f64(odd01, odd23));
    out[2].v[i] = vreinterpretq_f32_f64(vtrn2q_f64(even01, even23));
    out[3].v[i] = vreinterpretq_f32_f64(vtrn2q_f64(odd01, odd23));
  }
}
inline void load_columns(const double* p, std::ptrdiff_t stride, F64 (&out)[2]) noexcept {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const float64x2_t a = vld1q_f64(p + 2 * i * stride);
    const float64x2_t b = vld1q_f64(p + (2 * i + 1) * stride);
    out[0].v[i] = vtrn1q_f64(a, b);
    out[1].v[i] = vtrn2q_f64(a, b);
  }
}

/// Squares of two: those off the diagonal change places.
inline void transpose(F64 (&a)[8]) noexcept {
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j <= i; ++j) {
      const float64x2_t p = a[2 * i].v[j];
      const float64x2_t q = a[2 * i + 1].v[j];
      const float64x2_t r = a[2 * j].v[i];
      const float64x2_t s = a[2 * j + 1].v[i];
      a[2 * j].v[i] = vtrn1q_f64(p, q);
      a[2 * j + 1].v[i] = vtrn2q_f64(p, q);
      if (i != j) {
        a[2 * i].v[j] = vtrn1q_f64(r, s);
        a[2 * i + 1].v[j] = vtrn2q_f64(r, s);
      }
    }
  }
}
template <int Columns>
void load_packed(const double* p, F64 (&out)[static_cast<std::size_t>(Columns)]) noexcept {
  for (int c = 0; c < Columns; ++c) {
    for (int i = 0; i < 4; ++i) {
      out[c].v[i] = float64x2_t{p[2 * i * Columns + c], p[(2 * i + 1) * Columns + c]};
    }
  }
}

/// ((a0+a4)+(a2+a6)) + ((a1+a5)+(a3+a7)).
inline double sum(F64 a) noexcept {
  return vaddvq_f64(vaddq_f64(vaddq_f64(a.v[0], a.v[2]), vaddq_f64(a.v[1], a.v[3])));
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
    const float32x4_t four = vaddq_f32(vaddq_f32(a[i].v[0], a[i].v[2]), vaddq_f32(a[i].v[1], a[i].v[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    out[i] = static_cast<double>(vget_lane_f32(two, 0) + vget_lane_f32(two, 1));
  }
}

}  // namespace polyattn::simd::neon
