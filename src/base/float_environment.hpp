#pragma once

/// The bounds assume rounding to nearest and gradual underflow. A caller may run with other settings (flush-to-zero is
/// common in audio and machine-learning code), so every parallel region sets what the proofs need and restores it.

#include <cfenv>
#include <cstdint>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace polyattn::base {

/// The floating-point settings of this thread as the processor keeps them. Elsewhere only the rounding mode is known.
struct FloatControl {
#if defined(__x86_64__)
  using Register = unsigned;
  static constexpr Register kFlags = 0x3fU;     ///< sticky flags are not settings
  static constexpr Register kProved = 0x1f80U;  ///< all exceptions masked, nearest, FTZ and DAZ off
  static Register read() noexcept { return _mm_getcsr(); }
  static void write(Register settings) noexcept { _mm_setcsr(settings); }
#elif defined(__aarch64__)
  using Register = std::uint64_t;
  static constexpr Register kFlags = 0;   ///< they have a register of their own
  static constexpr Register kProved = 0;  ///< no exception trapped, nearest, no flushing of operands or results
  static Register read() noexcept {
    Register settings;
    __asm__ volatile("mrs %0, fpcr" : "=r"(settings)::"memory");
    return settings;
  }
  static void write(Register settings) noexcept { __asm__ volatile("msr fpcr, %0" ::"r"(settings) : "memory"); }
#else
  using Register = int;
  static constexpr Register kFlags = 0;
  static constexpr Register kProved = FE_TONEAREST;
  static Register read() noexcept { return std::fegetround(); }
  static void write(Register settings) noexcept { std::fesetround(settings); }
#endif
};

/// While alive: round to nearest, no flush-to-zero, no denormals-are-zero, no traps, on this thread.
class FloatEnvironment {
 public:
  FloatEnvironment() noexcept : saved_(FloatControl::read()) {
    if ((saved_ & ~FloatControl::kFlags) != FloatControl::kProved) {
      FloatControl::write(FloatControl::kProved);
      changed_ = true;
    }
  }
  ~FloatEnvironment() {
    if (changed_) {
      FloatControl::write(saved_);
    }
  }
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
  FloatControl::Register saved_;
  bool changed_ = false;
};

}  // namespace polyattn::base
