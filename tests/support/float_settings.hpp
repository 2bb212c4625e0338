#pragma once

/// Floating-point settings a caller may run with, as bits of base::FloatControl.

#include "base/float_environment.hpp"

namespace polyattn::test {

using FloatSettingsBits = base::FloatControl::Register;

#if defined(__x86_64__)
#define POLYATTN_TEST_FLUSHING 1
inline constexpr FloatSettingsBits kFlushings[] = {0x8000U, 0x0040U, 0x8040U};  ///< results, operands, both
inline constexpr FloatSettingsBits kFlush = 0x8040U;
inline constexpr FloatSettingsBits kUpward = 0x4000U;
inline constexpr FloatSettingsBits with_overflow_trap(FloatSettingsBits settings) { return settings & ~0x0400U; }
#elif defined(__aarch64__)
#define POLYATTN_TEST_FLUSHING 1
inline constexpr FloatSettingsBits kFlushings[] = {0x0100'0000U};  ///< one bit for results and operands
inline constexpr FloatSettingsBits kFlush = 0x0100'0000U;
inline constexpr FloatSettingsBits kUpward = 0x0040'0000U;
/// Most processors have no traps and ignore the bit.
inline constexpr FloatSettingsBits with_overflow_trap(FloatSettingsBits settings) { return settings | 0x0400U; }
#endif

}  // namespace polyattn::test
