#pragma once

/// Which blocks of keys a tile of rows needs: those that may weigh most first.

#include "engines/exact/near_keys.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// Blocks of keys in the order of what they may weigh to any row of a tile, for one tile after the other.
class NearSearch {
 public:
  explicit NearSearch(const NearKeys& keys);

  /// Looks at all blocks for tile `tile` of `tiles`.
  void look(const NearBoxes& tiles, std::int64_t tile);

  /// Block at place `i` of the order, and the logarithm of what it may weigh at most; i < ready().
  [[nodiscard]] std::int64_t block(std::int64_t i) const noexcept { return order_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] double log_mass(std::int64_t i) const noexcept { return log_mass_[static_cast<std::size_t>(block(i))]; }
  /// Blocks whose order is known; grow() makes it more, up to all.
  [[nodiscard]] std::int64_t ready() const noexcept { return static_cast<std::int64_t>(order_.size()); }
  [[nodiscard]] bool all() const noexcept { return ready() == blocks(); }
  void grow();
  [[nodiscard]] std::int64_t blocks() const noexcept { return keys_.blocks(); }

  /// Logarithm of what all blocks from place i on weigh at most, -infinity if there are none; i <= ready().
  [[nodiscard]] double log_rest(std::int64_t i) const noexcept;

 private:
  void sort(double window);

  const NearKeys& keys_;
  std::vector<double> log_mass_;     // [blocks]
  std::vector<std::int64_t> order_;  // the first blocks of the order
  std::vector<double> rest_;         // [ready + 1] in units of exp(top)
  double top_ = 0.0;
  double window_ = 0.0;
};

}  // namespace polyattn::engines
