#include "support/memory.hpp"

#include <malloc.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <string>

#ifndef __GLIBC__
#error "the counting allocator stands in front of glibc's"
#endif

// glibc's own allocator under the names it keeps for those who replace malloc.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* pointer, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* pointer);
}

namespace polyattn::bench {

namespace {

constinit std::atomic<std::int64_t> held{0};
constinit std::atomic<std::int64_t> most{0};

void raise_mark(std::int64_t now) noexcept {
  std::int64_t mark = most.load(std::memory_order_relaxed);
  while (now > mark && !most.compare_exchange_weak(mark, now, std::memory_order_relaxed)) {
  }
}

void* counted(void* pointer) noexcept {
  if (pointer != nullptr) {
    const auto bytes = static_cast<std::int64_t>(malloc_usable_size(pointer));
    raise_mark(held.fetch_add(bytes, std::memory_order_relaxed) + bytes);
  }
  return pointer;
}

void* recounted(void* pointer, std::size_t before) noexcept {
  if (pointer != nullptr) {
    const auto change = static_cast<std::int64_t>(malloc_usable_size(pointer)) - static_cast<std::int64_t>(before);
    raise_mark(held.fetch_add(change, std::memory_order_relaxed) + change);
  }
  return pointer;
}

void uncount(void* pointer) noexcept {
  if (pointer != nullptr) {
    held.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(pointer)), std::memory_order_relaxed);
  }
}

/// A line "Key:  123 kB" of /proc/self/status, in bytes; -1 if there is none.
std::int64_t status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) return std::stoll(line.substr(key.size() + 1)) * 1024;
  }
  return -1;
}

}  // namespace

std::int64_t allocated_bytes() noexcept { return held.load(std::memory_order_relaxed); }

AllocationWatch::AllocationWatch() noexcept : start_(allocated_bytes()) {
  most.store(start_, std::memory_order_relaxed);
}

std::int64_t AllocationWatch::peak() const noexcept { return most.load(std::memory_order_relaxed) - start_; }

ResidentWatch::ResidentWatch() {
  malloc_trim(0);
  std::ofstream marks("/proc/self/clear_refs");
  marks << "5" << std::flush;  // 5 resets VmHWM, see proc(5)
  if (marks) start_ = status_bytes("VmRSS");
}

std::int64_t ResidentWatch::peak() const {
  const std::int64_t mark = status_bytes("VmHWM");
  return start_ < 0 || mark < start_ ? -1 : mark - start_;
}

}  // namespace polyattn::bench

// The replacements. Visible, so that shared libraries (the C++ and OpenMP run times) use them too.

#define POLYATTN_REPLACEMENT extern "C" __attribute__((visibility("default")))

POLYATTN_REPLACEMENT void* malloc(std::size_t size) noexcept { return polyattn::bench::counted(__libc_malloc(size)); }

POLYATTN_REPLACEMENT void* calloc(std::size_t count, std::size_t size) noexcept {
  return polyattn::bench::counted(__libc_calloc(count, size));
}

POLYATTN_REPLACEMENT void* realloc(void* pointer, std::size_t size) noexcept {
  const std::size_t before = pointer == nullptr ? 0 : malloc_usable_size(pointer);
  void* moved = __libc_realloc(pointer, size);
  if (moved == nullptr && size == 0 && pointer != nullptr) {  // glibc has freed it
    polyattn::bench::held.fetch_sub(static_cast<std::int64_t>(before), std::memory_order_relaxed);
  }
  return polyattn::bench::recounted(moved, before);
}

POLYATTN_REPLACEMENT void* memalign(std::size_t alignment, std::size_t size) noexcept {
  return polyattn::bench::counted(__libc_memalign(alignment, size));
}

POLYATTN_REPLACEMENT void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  return polyattn::bench::counted(__libc_memalign(alignment, size));
}

POLYATTN_REPLACEMENT int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
  if (alignment < sizeof(void*) || (alignment & (alignment - 1)) != 0) return EINVAL;
  void* pointer = polyattn::bench::counted(__libc_memalign(alignment, size));
  if (pointer == nullptr) return ENOMEM;
  *result = pointer;
  return 0;
}

POLYATTN_REPLACEMENT void free(void* pointer) noexcept {
  polyattn::bench::uncount(pointer);
  __libc_free(pointer);
}
