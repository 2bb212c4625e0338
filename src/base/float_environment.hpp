#pragma once

/// The bounds assume rounding to nearest and gradual underflow. A caller may run with other settings (flush-to-zero is
/// common in audio and machine-learning code), so every parallel region sets what the proofs need and restores it.

#include <cfenv>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace polyattn::base {

/// While alive: round to nearest, no flush-to-zero, no denormals-are-zero, no traps, on this thread.
class FloatEnvironment {
 public:
#if defined(__x86_64__)
  FloatEnvironment() noexcept : saved_(_mm_getcsr()) {
    constexpr unsigned kDefault = 0x1f80U;  // all exceptions masked, nearest, FTZ and DAZ off
    constexpr unsigned kFlags = 0x3fU;      // sticky flags are not settings
    if ((saved_ & ~kFlags) != kDefault) {
      _mm_setcsr(kDefault);
      changed_ = true;
    }
  }
  ~FloatEnvironment() {
    if (changed_) {
      _mm_setcsr(saved_);
    }
  }
#else
  FloatEnvironment() noexcept {
    std::feholdexcept(&saved_);
    std::fesetround(FE_TONEAREST);
  }
  ~FloatEnvironment() { std::fesetenv(&saved_); }
#endif
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
#if defined(__x86_64__)
  unsigned saved_;
  bool changed_ = false;
#else
  std::fenv_t saved_{};
#endif
};

}  // namespace polyattn::base
