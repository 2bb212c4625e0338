#include "base/crc64.hpp"

#include <gtest/gtest.h>

#include <string_view>

namespace polyattn::base {
namespace {

std::uint64_t crc_of(std::string_view text) { return crc64(std::as_bytes(std::span(text.data(), text.size()))); }

TEST(Crc64, HasThePublishedCheckValue) {
  EXPECT_EQ(crc_of("123456789"), 0x995dc9bbdf1939faU);
  EXPECT_EQ(crc_of(""), 0U);
}

TEST(Crc64, SeesEveryChangedByte) {
  std::string text = "a stream of bytes, some of them 0: " + std::string(5, '\0');
  const std::uint64_t whole = crc_of(text);
  for (char& byte : text) {
    for (const int change : {1, 0x80, 0xff}) {
      byte = static_cast<char>(byte ^ change);
      EXPECT_NE(crc_of(text), whole);
      byte = static_cast<char>(byte ^ change);
    }
  }
  EXPECT_EQ(crc_of(text), whole);
}

}  // namespace
}  // namespace polyattn::base
