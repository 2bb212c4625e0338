#include "base/memory.hpp"

#include "base/kept_blocks.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <new>
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

// A sanitizer sees what is used after it was freed only if it is freed.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kMostKept = 0;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
constexpr std::size_t kMostKept = 0;
#else
constexpr std::size_t kMostKept = std::size_t{256} << 20;
#endif
#else
constexpr std::size_t kMostKept = std::size_t{256} << 20;
#endif

/// Never destroyed: other objects of static duration may free their memory later.
KeptBlocks& kept_blocks() {
  static auto* blocks = new KeptBlocks(kMostKept);
  return *blocks;
}

void* allocate(std::size_t alignment, std::size_t bytes) noexcept {
  void* pointer = std::aligned_alloc(alignment, bytes);
  return pointer == nullptr && kept_blocks().clear(std::free) ? std::aligned_alloc(alignment, bytes) : pointer;
}

/// Of whole huge pages, on one of them.
void* allocate_large(std::size_t bytes) {
  if (void* kept = kept_blocks().take(bytes); kept != nullptr) {
    return kept;
  }
  void* pointer = allocate(kHugePage, bytes);
  if (pointer != nullptr) {
    prefer_huge_pages(pointer, bytes);
    try {
      kept_blocks().know(pointer, bytes);
    } catch (const std::bad_alloc&) {  // then it is freed as a block that is not known
    }
  }
  return pointer;
}

}  // namespace

void* allocate_aligned(std::size_t bytes) {
  const bool large = bytes >= kHugePage / 2;
  const std::size_t unit = large ? kHugePage : kAlignment;
  const std::size_t whole = (std::max<std::size_t>(bytes, 1) + unit - 1) / unit * unit;
  void* pointer = whole < bytes ? nullptr : large ? allocate_large(whole) : allocate(kAlignment, whole);
  if (pointer == nullptr) {
    fail(ErrorCode::out_of_memory, "the machine has no " + std::to_string(bytes) + " bytes of memory to give");
  }
  return pointer;
}

void free_aligned(void* pointer) noexcept {
  const bool large = reinterpret_cast<std::uintptr_t>(pointer) % kHugePage == 0;
  if (!large || !kept_blocks().put(pointer, std::free)) {
    std::free(pointer);
  }
}

}  // namespace polyattn::base
