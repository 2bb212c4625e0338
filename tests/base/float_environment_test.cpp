#include "base/float_environment.hpp"

#include "base/parallel.hpp"
#include "support/float_settings.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cfenv>
#include <cstdint>

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

#if defined(POLYATTN_TEST_FLUSHING)
using base::FloatControl;

/// Without the sticky flags.
FloatSettingsBits settings_now() { return FloatControl::read() & ~FloatControl::kFlags; }

TEST(FloatEnvironment, KeepsSubnormalNumbersAndRestoresFlushing) {
  const FloatSettingsBits original = settings_now();
  for (const FloatSettingsBits flushing : kFlushings) {
    for (const FloatSettingsBits settings : {flushing, flushing | kUpward}) {
      FloatControl::write(original | settings);
      const bool before = as_proved();
      bool inside = false;
      {
        const FloatEnvironment environment;
        inside = as_proved();
      }
      const FloatSettingsBits after = settings_now();
      FloatControl::write(original);
      EXPECT_FALSE(before) << "the settings under test have an effect";
      EXPECT_TRUE(inside) << settings;
      EXPECT_EQ(after, original | settings);
    }
  }
}

TEST(FloatEnvironment, EveryThreadOfALoopHasIt) {
  const FloatSettingsBits original = settings_now();
  for (const int threads : {1, 4}) {
    std::atomic<int> wrong{0};
    const base::Context context{threads, nullptr, nullptr};
    FloatControl::write(original | kFlush | kUpward);
    base::parallel_for(context, 100, [&](std::int64_t, int) { wrong += as_proved() ? 0 : 1; });
    const FloatSettingsBits after = settings_now();
    FloatControl::write(original);
    EXPECT_EQ(wrong.load(), 0) << threads << " threads";
    EXPECT_EQ(after, original | kFlush | kUpward);
  }
}

// Unmasked exceptions would stop the program at the first inexact result.
TEST(FloatEnvironment, DoesNotTrap) {
  const FloatSettingsBits original = settings_now();
  FloatControl::write(with_overflow_trap(original));
  const FloatSettingsBits before = settings_now();
  double result = 0.0;
  {
    const FloatEnvironment environment;
    volatile double large = 0x1p1023;
    result = large * 4.0;
  }
  const FloatSettingsBits after = settings_now();
  FloatControl::write(original);
  EXPECT_GT(result, 0x1p1023);
  EXPECT_EQ(after, before);
}
#endif

}  // namespace
}  // namespace polyattn::test
