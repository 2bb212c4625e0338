#include "lab/bits.hpp"

#include "polyattn/error.hpp"

#include <bit>
#include <string>

namespace polyattn::lab {

namespace {

constexpr std::int64_t word_bits = 64;

std::int64_t checked(const char* name, std::int64_t size) {
  if (size >= 0) return size;
  throw Error(ErrorCode::invalid_argument, std::string(name) + ": expected at least 0, got " + std::to_string(size));
}

template <class Word>
std::int64_t count_bits(std::size_t words, const Word& word) noexcept {
  std::int64_t total = 0;
  for (std::size_t i = 0; i < words; ++i) total += std::popcount(word(i));
  return total;
}

}  // namespace

BitVectors::BitVectors(std::int64_t count, std::int64_t dimension)
    : count_(checked("count", count)),
      dimension_(checked("dimension", dimension)),
      words_(static_cast<std::size_t>((dimension + word_bits - 1) / word_bits)),
      data_(static_cast<std::size_t>(count) * words_) {}

std::span<const std::uint64_t> BitVectors::operator[](std::int64_t i) const noexcept {
  return std::span(data_).subspan(static_cast<std::size_t>(i) * words_, words_);
}

bool BitVectors::get(std::int64_t i, std::int64_t bit) const noexcept {
  return ((*this)[i][static_cast<std::size_t>(bit / word_bits)] >> (bit % word_bits) & 1U) != 0;
}

void BitVectors::set(std::int64_t i, std::int64_t bit, bool value) noexcept {
  std::uint64_t& word = data_[static_cast<std::size_t>(i) * words_ + static_cast<std::size_t>(bit / word_bits)];
  const std::uint64_t mask = std::uint64_t{1} << (bit % word_bits);
  word = value ? word | mask : word & ~mask;
}

std::int64_t inner_product(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b) noexcept {
  return count_bits(a.size(), [&](std::size_t i) { return a[i] & b[i]; });
}

std::int64_t inner_product(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b,
                           std::span<const std::uint64_t> c) noexcept {
  return count_bits(a.size(), [&](std::size_t i) { return a[i] & b[i] & c[i]; });
}

std::int64_t hamming_distance(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b) noexcept {
  return count_bits(a.size(), [&](std::size_t i) { return a[i] ^ b[i]; });
}

}  // namespace polyattn::lab
