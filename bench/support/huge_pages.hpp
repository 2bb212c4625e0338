#pragma once

/// Memory on huge pages where the system grants them: reading it costs few address translations, so that what is
/// measured is the memory and not the page tables. Not counted by the allocator's watch.

#include <cstddef>
#include <span>

namespace polyattn::bench {

class HugePages {
 public:
  /// `bytes` zeros, every page touched. Throws std::bad_alloc.
  explicit HugePages(std::size_t bytes);
  HugePages(const HugePages&) = delete;
  HugePages& operator=(const HugePages&) = delete;
  ~HugePages();

  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data_, size_}; }

 private:
  void* mapped_ = nullptr;
  std::size_t mapped_size_ = 0;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace polyattn::bench
