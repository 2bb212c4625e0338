#include "support/huge_pages.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <new>

namespace polyattn::bench {

namespace {

constexpr std::size_t kHugePage = std::size_t{1} << 21;

}  // namespace

HugePages::HugePages(std::size_t bytes) : mapped_size_(bytes + kHugePage), size_(bytes) {
  mapped_ = mmap(nullptr, mapped_size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped_ == MAP_FAILED) throw std::bad_alloc();
  const auto address = reinterpret_cast<std::uintptr_t>(mapped_);
  data_ = static_cast<std::byte*>(mapped_) + (kHugePage - address % kHugePage) % kHugePage;
  madvise(mapped_, mapped_size_, MADV_HUGEPAGE);  // advice: where it is not taken, pages are small
  // Written once, or every page would be the kernel's one page of zeros, which is in the cache.
  std::memset(data_, 0, size_);
}

HugePages::~HugePages() { munmap(mapped_, mapped_size_); }

}  // namespace polyattn::bench
