#include "base/memory.hpp"

#include <cstdlib>
#include <string>

namespace polyattn::base {

void MemoryMeter::take(std::uint64_t bytes) {
  std::uint64_t used = used_.load(std::memory_order_relaxed);
  do {
    if (bytes > limit_ || used > limit_ - bytes) {
      fail(ErrorCode::out_of_memory, "max_memory",
           "at least " + std::to_string(used) + " + " + std::to_string(bytes) + " bytes", std::to_string(limit_));
    }
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  const std::uint64_t now = used + bytes;
  std::uint64_t peak = peak_.load(std::memory_order_relaxed);
  while (now > peak && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
}

void* allocate_aligned(std::size_t bytes) {
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* pointer = rounded < bytes ? nullptr : std::aligned_alloc(kAlignment, rounded == 0 ? kAlignment : rounded);
  if (pointer == nullptr) {
    fail(ErrorCode::out_of_memory, "the machine has no " + std::to_string(bytes) + " bytes of memory to give");
  }
  return pointer;
}

void free_aligned(void* pointer) noexcept { std::free(pointer); }

}  // namespace polyattn::base
