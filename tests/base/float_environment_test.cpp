#include "base/float_environment.hpp"

#include "base/parallel.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cfenv>
#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace polyattn::test {
namespace {

using base::FloatEnvironment;

volatile double one = 1.0;
volatile double tiny = 0x1p-1074;
volatile double small = 0x1p-1022;

/// What the proofs need: to nearest, subnormal results and subnormal operands kept.
bool as_proved() {
  const bool nearest = one + 0x1p-53 == 1.0 && one + 0x1.8p-53 == 1.0 + 0x1p-52 && -one - 0x1p-53 == -1.0;
  const bool results = small * 0.5 != 0.0;
  const bool operands = tiny * 0x1p1000 == 0x1p-74;
  return nearest && results && operands;
}

TEST(FloatEnvironment, RoundsToNearestAndRestoresTheMode) {
  for (const int mode : {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
    ASSERT_EQ(std::fesetround(mode), 0);
    bool inside = false;
    {
      const FloatEnvironment environment;
      inside = as_proved();
      const FloatEnvironment nested;
      inside = inside && as_proved();
    }
    const int after = std::fegetround();
    std::fesetround(FE_TONEAREST);
    EXPECT_TRUE(inside);
    EXPECT_EQ(after, mode);
  }
}

#if defined(__x86_64__)
constexpr unsigned kFlushToZero = 0x8000U;
constexpr unsigned kDenormalsAreZero = 0x0040U;
constexpr unsigned kUp = 0x4000U;
constexpr unsigned kSticky = 0x3fU;

TEST(FloatEnvironment, KeepsSubnormalNumbersAndRestoresFlushing) {
  const unsigned original = _mm_getcsr();
  for (const unsigned settings :
       {kFlushToZero, kDenormalsAreZero, kFlushToZero | kDenormalsAreZero, kFlushToZero | kDenormalsAreZero | kUp}) {
    _mm_setcsr((original & ~kSticky) | settings);
    const bool before = as_proved();
    bool inside = false;
    {
      const FloatEnvironment environment;
      inside = as_proved();
    }
    const unsigned after = _mm_getcsr();
    _mm_setcsr(original);
    EXPECT_FALSE(before) << "the settings under test have an effect";
    EXPECT_TRUE(inside) << settings;
    EXPECT_EQ(after & ~kSticky, (original & ~kSticky) | settings);
  }
}

TEST(FloatEnvironment, EveryThreadOfALoopHasIt) {
  const unsigned original = _mm_getcsr();
  for (const int threads : {1, 4}) {
    std::atomic<int> wrong{0};
    const base::Context context{threads, nullptr, nullptr};
    _mm_setcsr(original | kFlushToZero | kDenormalsAreZero | kUp);
    base::parallel_for(context, 100, [&](std::int64_t, int) { wrong += as_proved() ? 0 : 1; });
    const unsigned after = _mm_getcsr();
    _mm_setcsr(original);
    EXPECT_EQ(wrong.load(), 0) << threads << " threads";
    EXPECT_EQ(after & ~kSticky, (original & ~kSticky) | kFlushToZero | kDenormalsAreZero | kUp);
  }
}

// Unmasked exceptions would stop the program at the first inexact result.
TEST(FloatEnvironment, DoesNotTrap) {
  const unsigned original = _mm_getcsr();
  constexpr unsigned kOverflowMask = 0x0400U;
  _mm_setcsr(original & ~kOverflowMask);
  double result = 0.0;
  {
    const FloatEnvironment environment;
    volatile double large = 0x1p1023;
    result = large * 4.0;
  }
  const unsigned after = _mm_getcsr();
  _mm_setcsr(original);
  EXPECT_GT(result, 0x1p1023);
  EXPECT_EQ(after & kOverflowMask, 0U);
}
#endif

}  // namespace
}  // namespace polyattn::test
