#pragma once

/// Long double's own rounding mode.

#include "base/float_environment.hpp"

#include <cfenv>

namespace polyattn::base {

/// While alive: rounding to nearest for long double too. On x86-64 it has a mode of its own, beside the settings that
/// entry points and parallel loops see to (float_environment.hpp), which stay as they are; the caller's must not change
/// a bit of what is computed in it.
class NearestLongDouble {
 public:
  NearestLongDouble() noexcept : mode_(std::fegetround()), settings_(FloatControl::read()) {
    if (mode_ != FE_TONEAREST) {
      std::fesetround(FE_TONEAREST);
    }
  }
  ~NearestLongDouble() {
    if (mode_ != FE_TONEAREST) {
      std::fesetround(mode_);
      FloatControl::write(settings_);
    }
  }
  NearestLongDouble(const NearestLongDouble&) = delete;
  NearestLongDouble& operator=(const NearestLongDouble&) = delete;

 private:
  int mode_;
  FloatControl::Register settings_;
};

}  // namespace polyattn::base
