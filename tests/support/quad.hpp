#pragma once

/// The widest floating-point type at hand for judging float64 results: IEEE binary128 where there is one.
///
/// On x86-64 with glibc that is __float128, with g++ and clang alike: the C library's own exp and log for it need no
/// libquadmath. Elsewhere it is long double, which is binary128 too on 64-bit ARM Linux.

#include <cstdlib>  // defines __GLIBC__ where it applies
#include <limits>

namespace polyattn::test {

#if defined(__x86_64__) && defined(__GLIBC__)
__extension__ typedef __float128 Quad;
#define POLYATTN_TEST_FLOAT128 1
#else
typedef long double Quad;
#endif

Quad exp_of(Quad x);
Quad log_of(Quad x);
/// Half the distance from 1 to the next number.
template <class Real>
inline constexpr double kUnitRoundoff = static_cast<double>(std::numeric_limits<Real>::epsilon()) / 2.0;
#if defined(POLYATTN_TEST_FLOAT128)
template <>
inline constexpr double kUnitRoundoff<Quad> = 0x1p-113;
long double exp_of(long double x);
long double log_of(long double x);
#endif

}  // namespace polyattn::test
