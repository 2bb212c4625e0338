#include "base/crc64.hpp"

#include <array>

namespace polyattn::base {

namespace {

constexpr std::array<std::uint64_t, 256> make_table() noexcept {
  std::array<std::uint64_t, 256> table{};
  for (std::size_t i = 0; i < table.size(); ++i) {
    std::uint64_t remainder = i;
    for (int bit = 0; bit < 8; ++bit) {
      remainder = (remainder >> 1U) ^ ((remainder & 1U) != 0 ? 0xc96c5795d7870f42U : 0U);
    }
    table[i] = remainder;
  }
  return table;
}
constexpr std::array<std::uint64_t, 256> kTable = make_table();

}  // namespace

std::uint64_t crc64(std::span<const std::byte> bytes) noexcept {
  std::uint64_t remainder = ~std::uint64_t{0};
  for (const std::byte byte : bytes) {
    remainder = kTable[(remainder ^ static_cast<std::uint64_t>(byte)) & 0xffU] ^ (remainder >> 8U);
  }
  return ~remainder;
}

}  // namespace polyattn::base
