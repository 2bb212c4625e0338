#pragma once

// Polynomials p(r) close to 2^r for -1/2 <= r <= 1/2 (both ends included), lowest degree first, p(0) = 1.
// Evaluate with one fused multiply-add a step: h = c[g]; h = fma(h, r, c[k]) for k = g-1 .. 0. The result has the
// proved relative error kExp2MaxRel... for every r of that type in the range, rounding to nearest; subnormal numbers
// may be flushed to zero. Claims and constants: scripts/constants/exp2.py (--check verifies this file).

namespace polyattn::simd {

// clang-format off

/// float, u = 2^-24: |p(r)/2^r - 1| <= 2.992e-9 = 0.051 u in exact arithmetic,
/// |computed/2^r - 1| <= 1.161 u by Horner with fma in float.
inline constexpr float kExp2F32[7] = {
    0x1p+0f,
    0x1.62e43p-1f,
    0x1.ebfbdcp-3f,
    0x1.c6af7ap-5f,
    0x1.3b2dd2p-7f,
    0x1.5f094ap-10f,
    0x1.417a84p-13f,
};
inline constexpr double kExp2MaxRelF32 = 0x1.294p-24;
/// Soft-capping in float: 10.056 u.
inline constexpr double kSoftCapMaxRelF32 = 0x1.41ep-21;

/// double, u = 2^-53: |p(r)/2^r - 1| <= 4.704e-18 = 0.043 u in exact arithmetic,
/// |computed/2^r - 1| <= 1.154 u by Horner with fma in double.
inline constexpr double kExp2F64[12] = {
    0x1p+0,
    0x1.62e42fefa39efp-1,
    0x1.ebfbdff82c59cp-3,
    0x1.c6b08d704a0d5p-5,
    0x1.3b2ab6fba11f8p-7,
    0x1.5d87fe78b3717p-10,
    0x1.4309130c002c3p-13,
    0x1.ffcbfbfa5627p-17,
    0x1.62bfcde1449eap-20,
    0x1.b5260a2e0d333p-24,
    0x1.e6119b2a977b2p-28,
    0x1.e8143bebbf218p-32,
};
inline constexpr double kExp2MaxRelF64 = 0x1.276p-53;
/// Soft-capping in double: 10.242 u.
inline constexpr double kSoftCapMaxRelF64 = 0x1.47cp-50;

// clang-format on

}  // namespace polyattn::simd
