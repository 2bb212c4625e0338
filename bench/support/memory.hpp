#pragma once

/// Memory as the benchmarks publish it: bytes the program holds from the allocator, counted in malloc and its relatives
/// (operator new among them), which the drivers replace by counting ones; and resident pages beside it.

#include <cstdint>

namespace polyattn::bench {

/// Bytes held now, as the allocator rounds them.
std::int64_t allocated_bytes() noexcept;

/// The most that was held at any time since construction, beyond what was held then. One at a time.
class AllocationWatch {
 public:
  AllocationWatch() noexcept;
  [[nodiscard]] std::int64_t peak() const noexcept;

 private:
  std::int64_t start_;
};

/// The same in resident pages; -1 where the system does not let the mark be reset. Pages the allocator kept from
/// earlier calls are handed back first, but this stays the coarser of the two.
class ResidentWatch {
 public:
  ResidentWatch();
  [[nodiscard]] std::int64_t peak() const;

 private:
  std::int64_t start_ = -1;
};

}  // namespace polyattn::bench
