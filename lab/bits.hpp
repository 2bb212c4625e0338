#pragma once

/// Sets of binary vectors, packed: what the reductions are about.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace polyattn::lab {

/// `count` vectors of `dimension` bits, each in whole words of 64; the bits beyond `dimension` are 0.
class BitVectors {
 public:
  /// All 0. Throws Error (invalid_argument) if a size is negative.
  BitVectors(std::int64_t count, std::int64_t dimension);

  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  [[nodiscard]] std::int64_t dimension() const noexcept { return dimension_; }

  /// The words of vector `i`.
  [[nodiscard]] std::span<const std::uint64_t> operator[](std::int64_t i) const noexcept;
  [[nodiscard]] bool get(std::int64_t i, std::int64_t bit) const noexcept;
  void set(std::int64_t i, std::int64_t bit, bool value) noexcept;

 private:
  std::int64_t count_, dimension_;
  std::size_t words_;
  std::vector<std::uint64_t> data_;
};

/// <a, b>: the number of places where both are 1. Vectors of the same dimension.
std::int64_t inner_product(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b) noexcept;
/// <a, b, c>: the number of places where all three are 1.
std::int64_t inner_product(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b,
                           std::span<const std::uint64_t> c) noexcept;
/// The number of places where they differ.
std::int64_t hamming_distance(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b) noexcept;

}  // namespace polyattn::lab
