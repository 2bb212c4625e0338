#pragma once

/// Large blocks of memory that were freed and wait to be used again.

#include <cstddef>
#include <mutex>
#include <vector>

namespace polyattn::base {

/// Pages fresh from the system are cleared first, which takes longer than most of what is done with them: so freed
/// blocks are kept, up to `most` bytes together, the oldest given back first. Thread-safe.
class KeptBlocks {
 public:
  explicit KeptBlocks(std::size_t most) noexcept : most_(most) {}

  /// A kept block of at least `bytes`, and not of more than half as much again, or null. What it holds is not defined.
  void* take(std::size_t bytes);
  /// Says how large a block in use is that did not come from here.
  void know(void* block, std::size_t bytes);
  /// Keeps a block, or gives it back to the system by `release`. False: the block is not known.
  bool put(void* block, void (*release)(void*)) noexcept;
  /// Gives back all that are kept; whether there were any.
  bool clear(void (*release)(void*)) noexcept;

 private:
  struct Block {
    void* pointer;
    std::size_t bytes;
  };
  std::mutex mutex_;
  std::size_t most_;
  std::size_t bytes_ = 0;    ///< kept
  std::vector<Block> kept_;  ///< the oldest first
  std::vector<Block> used_;
};

}  // namespace polyattn::base
