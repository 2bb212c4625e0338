#include "base/kept_blocks.hpp"

#include <algorithm>

namespace polyattn::base {

void* KeptBlocks::take(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  auto best = kept_.end();
  for (auto block = kept_.begin(); block != kept_.end(); ++block) {
    if (block->bytes >= bytes && block->bytes <= bytes + bytes / 2 &&
        (best == kept_.end() || block->bytes < best->bytes)) {
      best = block;
    }
  }
  if (best == kept_.end()) {
    return nullptr;
  }
  used_.push_back(*best);
  bytes_ -= best->bytes;
  kept_.erase(best);
  return used_.back().pointer;
}

void KeptBlocks::know(void* block, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  kept_.reserve(kept_.size() + used_.size() + 1);  // so that `put` need not allocate
  used_.push_back({block, bytes});
}

bool KeptBlocks::put(void* block, void (*release)(void*)) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(used_.begin(), used_.end(), [&](const Block& used) { return used.pointer == block; });
  if (found == used_.end()) {
    return false;
  }
  const Block freed = *found;
  used_.erase(found);
  if (freed.bytes > most_) {
    release(freed.pointer);
    return true;
  }
  std::size_t old = 0;
  for (; bytes_ + freed.bytes > most_; ++old) {
    bytes_ -= kept_[old].bytes;
    release(kept_[old].pointer);
  }
  kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(old));
  kept_.push_back(freed);
  bytes_ += freed.bytes;
  return true;
}

bool KeptBlocks::clear(void (*release)(void*)) noexcept {
  const std::lock_guard lock(mutex_);
  for (const Block& block : kept_) {
    release(block.pointer);
  }
  const bool any = !kept_.empty();
  kept_.clear();
  bytes_ = 0;
  return any;
}

}  // namespace polyattn::base
