#pragma once

/// The inputs of a study: uniform entries, the same for every B but for their size.

#include "polyattn/view.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::lab {

/// Queries and k - 1 key sets of n vectors of d entries, float32, uniform in [-1, 1]. Entries in [-B, B] are B times
/// these, which multiplies every score by B^k: that factor is left to the scale. The entry with index i of set s is a
/// function of (seed, s, i), so that a study comes out the same whenever and in whatever pieces it is run.
class Instance {
 public:
  Instance(int order, std::int64_t n, std::int64_t dim, std::uint64_t seed);

  [[nodiscard]] std::int64_t n() const noexcept { return n_; }
  [[nodiscard]] std::int64_t dim() const noexcept { return dim_; }
  /// The first `rows` queries.
  [[nodiscard]] ConstView queries(std::int64_t rows) const noexcept;
  /// Views into this object.
  [[nodiscard]] std::vector<ConstView> keys() const;

 private:
  std::int64_t n_, dim_;
  std::vector<std::vector<float>> sets_;  ///< queries first
};

}  // namespace polyattn::lab
