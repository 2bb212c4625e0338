#pragma once

/// Aligned buffers that are counted: peak bytes are reported, and `max_memory` refuses before allocating.

#include "base/checked.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

namespace polyattn::base {

/// Bytes in use and their peak during one call. Thread-safe. Must outlive the buffers it counts.
class MemoryMeter {
 public:
  explicit MemoryMeter(std::uint64_t limit = std::numeric_limits<std::uint64_t>::max()) noexcept : limit_(limit) {}
  MemoryMeter(const MemoryMeter&) = delete;
  MemoryMeter& operator=(const MemoryMeter&) = delete;

  /// Throws Error (out_of_memory) if the limit would be exceeded; then nothing is counted.
  void take(std::uint64_t bytes);
  void give(std::uint64_t bytes) noexcept { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t peak() const noexcept { return peak_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t limit() const noexcept { return limit_; }

 private:
  std::uint64_t limit_;
  std::atomic<std::uint64_t> used_{0};
  std::atomic<std::uint64_t> peak_{0};
};

inline constexpr std::size_t kAlignment = 64;

/// 64-byte aligned storage of `bytes` (rounded up); throws Error (out_of_memory), naming the size.
void* allocate_aligned(std::size_t bytes);
void free_aligned(void* pointer) noexcept;

/// An owned array of trivial T, aligned to 64 bytes, uninitialised. Counted if a meter is given.
template <class T>
class Buffer {
 public:
  Buffer() noexcept = default;
  explicit Buffer(std::int64_t count, MemoryMeter* meter = nullptr) : size_(usize(count)), meter_(meter) {
    const std::int64_t bytes = checked_mul(count, static_cast<std::int64_t>(sizeof(T)), "memory");
    if (meter_ != nullptr) {
      meter_->take(static_cast<std::uint64_t>(bytes));
    }
    try {
      data_ = static_cast<T*>(allocate_aligned(usize(bytes)));
    } catch (...) {
      if (meter_ != nullptr) {
        meter_->give(static_cast<std::uint64_t>(bytes));
      }
      throw;
    }
  }
  Buffer(std::int64_t count, T value, MemoryMeter* meter) : Buffer(count, meter) {
    for (std::size_t i = 0; i < size_; ++i) {
      data_[i] = value;
    }
  }
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        meter_(std::exchange(other.meter_, nullptr)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(meter_, other.meter_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ != nullptr) {
      free_aligned(data_);
      if (meter_ != nullptr) {
        meter_->give(static_cast<std::uint64_t>(size_ * sizeof(T)));
      }
    }
  }

  [[nodiscard]] T* data() noexcept { return data_; }
  [[nodiscard]] const T* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] T& operator[](std::size_t i) noexcept { return data_[i]; }
  [[nodiscard]] const T& operator[](std::size_t i) const noexcept { return data_[i]; }
  [[nodiscard]] std::span<T> span() noexcept { return {data_, size_}; }
  [[nodiscard]] std::span<const T> span() const noexcept { return {data_, size_}; }
  [[nodiscard]] T* begin() noexcept { return data_; }
  [[nodiscard]] T* end() noexcept { return data_ + size_; }
  [[nodiscard]] const T* begin() const noexcept { return data_; }
  [[nodiscard]] const T* end() const noexcept { return data_ + size_; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
  MemoryMeter* meter_ = nullptr;
};

}  // namespace polyattn::base
