#include "lab/threshold/instance.hpp"

#include <cstddef>

namespace polyattn::lab {

namespace {

/// splitmix64: a bijection of 64 bits whose values look random in any order of counting.
std::uint64_t mixed(std::uint64_t x) noexcept {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

/// Uniform on the odd multiples of 2^-23 in (-1, 1), which float32 holds exactly.
float entry(std::uint64_t set_seed, std::uint64_t index) noexcept {
  const auto steps = static_cast<std::int64_t>(mixed(set_seed + index) >> 41U);  // 23 bits
  return static_cast<float>(2 * steps + 1 - (std::int64_t{1} << 23U)) * 0x1p-23F;
}

}  // namespace

Instance::Instance(int order, std::int64_t n, std::int64_t dim, std::uint64_t seed) : n_(n), dim_(dim) {
  const auto count = static_cast<std::size_t>(n) * static_cast<std::size_t>(dim);
  sets_.resize(static_cast<std::size_t>(order));
  for (std::size_t s = 0; s < sets_.size(); ++s) {
    const std::uint64_t set_seed = mixed(mixed(seed) + s);
    sets_[s].resize(count);
    for (std::size_t i = 0; i < count; ++i) sets_[s][i] = entry(set_seed, i);
  }
}

ConstView Instance::queries(std::int64_t rows) const noexcept { return matrix(sets_.front().data(), rows, dim_); }

std::vector<ConstView> Instance::keys() const {
  std::vector<ConstView> views;
  for (std::size_t s = 1; s < sets_.size(); ++s) views.push_back(matrix(sets_[s].data(), n_, dim_));
  return views;
}

}  // namespace polyattn::lab
