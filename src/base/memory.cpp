#include "base/memory.hpp"

#include <cstdlib>
#include <string>

#if defined(__linux__)
#include <sys/mman.h>
#endif

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

namespace {

/// Blocks of at least half this size lie on pages of this size, where the system has them: a few page faults instead of
/// hundreds, each of which costs as much as copying the page.
constexpr std::size_t kHugePage = std::size_t{2} << 20;

void prefer_huge_pages([[maybe_unused]] void* pointer, [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__linux__)
  static_cast<void>(madvise(pointer, bytes, MADV_HUGEPAGE));  // a wish: nothing is lost if it is not granted
#endif
}

}  // namespace

void* allocate_aligned(std::size_t bytes) {
  const bool large = bytes >= kHugePage / 2;
  const std::size_t alignment = large ? kHugePage : kAlignment;
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const std::size_t whole = large ? (bytes + kHugePage - 1) / kHugePage * kHugePage : rounded;
  void* pointer = whole < bytes ? nullptr : std::aligned_alloc(alignment, whole == 0 ? kAlignment : whole);
  if (pointer == nullptr) {
    fail(ErrorCode::out_of_memory, "the machine has no " + std::to_string(bytes) + " bytes of memory to give");
  }
  if (large) {
    prefer_huge_pages(pointer, whole);
  }
  return pointer;
}

void free_aligned(void* pointer) noexcept { std::free(pointer); }

}  // namespace polyattn::base
