#pragma once

/// Owner of a file descriptor.

#include <unistd.h>

namespace polyattn::io {

class Descriptor {
 public:
  explicit Descriptor(int descriptor = -1) noexcept : descriptor_(descriptor) {}
  ~Descriptor() {
    if (valid()) ::close(descriptor_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&&) = delete;
  Descriptor& operator=(Descriptor&&) = delete;

  [[nodiscard]] bool valid() const noexcept { return descriptor_ >= 0; }
  [[nodiscard]] int get() const noexcept { return descriptor_; }
  /// Closes what is held and takes `descriptor`.
  void reset(int descriptor) noexcept {
    if (valid()) ::close(descriptor_);
    descriptor_ = descriptor;
  }
  /// Hands the descriptor over to the caller.
  int release() noexcept {
    const int descriptor = descriptor_;
    descriptor_ = -1;
    return descriptor;
  }

 private:
  int descriptor_;
};

}  // namespace polyattn::io
