#include "lab/hamming_table.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::lab {

std::int64_t ball_size(std::int64_t dimension, std::int64_t near) noexcept {
  constexpr std::int64_t most = std::int64_t{1} << 62;
  std::int64_t total = 0;
  std::int64_t term = 1;  // C(dimension, i)
  for (std::int64_t i = 0; i <= near; ++i) {
    if (term > most - total) return most;
    total += term;
    if (i < near) {
      const std::int64_t factor = dimension - i;
      if (factor == 0) break;
      if (term > most / factor) return most;
      term = term * factor / (i + 1);
    }
  }
  return total;
}

bool table_is_cheap(std::int64_t dimension, std::int64_t near, std::int64_t keys) noexcept {
  return static_cast<double>(ball_size(dimension, near)) <= std::pow(static_cast<double>(keys), 0.9);
}

std::size_t HammingTable::Hash::operator()(const std::vector<std::uint64_t>& words) const noexcept {
  std::uint64_t state = 0x9e3779b97f4a7c15U;
  for (const std::uint64_t word : words) {  // splitmix64's mixing of one word after the other
    state = (state ^ word) * 0xbf58476d1ce4e5b9U;
    state = (state ^ (state >> 27)) * 0x94d049bb133111ebU;
    state ^= state >> 31;
  }
  return static_cast<std::size_t>(state);
}

HammingTable::HammingTable(const BitVectors& keys) : dimension_(keys.dimension()) {
  keys_.reserve(static_cast<std::size_t>(keys.count()));
  for (std::int64_t j = 0; j < keys.count(); ++j) {
    const auto words = keys[j];
    keys_.emplace(std::vector<std::uint64_t>(words.begin(), words.end()), j);
  }
}

std::optional<std::int64_t> HammingTable::within(std::span<const std::uint64_t> row, std::int64_t near) const {
  std::vector<std::uint64_t> probe(row.begin(), row.end());
  const auto flip = [&](std::int64_t bit) {
    probe[static_cast<std::size_t>(bit / 64)] ^= std::uint64_t{1} << (bit % 64);
  };
  for (std::int64_t weight = 0; weight <= std::min(near, dimension_); ++weight) {
    // All subsets of `weight` bits, in lexicographic order; the probe has them flipped.
    std::vector<std::int64_t> bits(static_cast<std::size_t>(weight));
    for (std::int64_t i = 0; i < weight; ++i) {
      bits[static_cast<std::size_t>(i)] = i;
      flip(i);
    }
    for (;;) {
      if (const auto found = keys_.find(probe); found != keys_.end()) return found->second;
      std::int64_t i = weight - 1;
      while (i >= 0 && bits[static_cast<std::size_t>(i)] == dimension_ - weight + i) --i;
      if (i < 0) break;
      for (std::int64_t k = i; k < weight; ++k) flip(bits[static_cast<std::size_t>(k)]);
      ++bits[static_cast<std::size_t>(i)];
      for (std::int64_t k = i + 1; k < weight; ++k) {
        bits[static_cast<std::size_t>(k)] = bits[static_cast<std::size_t>(k - 1)] + 1;
      }
      for (std::int64_t k = i; k < weight; ++k) flip(bits[static_cast<std::size_t>(k)]);
    }
    for (const std::int64_t bit : bits) flip(bit);
  }
  return std::nullopt;
}

}  // namespace polyattn::lab
