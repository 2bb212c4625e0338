#include "base/parallel.hpp"

#include "base/error.hpp"

#include <algorithm>

#include <omp.h>

namespace polyattn::base {

bool ProgressMeter::add(double work) {
  if (cancelled()) {
    return false;
  }
  if (!callable_) {
    return true;
  }
  const std::lock_guard lock(mutex_);
  done_ += work;
  if (!callable_(std::clamp(done_ / total_, 0.0, 1.0))) {
    cancelled_.store(true, std::memory_order_relaxed);
    return false;
  }
  return true;
}

void check_cancelled(const Context& context) {
  if (context.progress != nullptr && context.progress->cancelled()) {
    fail(ErrorCode::cancelled, "cancelled by the progress callable");
  }
}

int hardware_threads() noexcept { return std::max(1, omp_get_max_threads()); }

}  // namespace polyattn::base
