#include "base/error.hpp"

#include <array>
#include <charconv>

namespace polyattn {

Error::Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
Error::~Error() = default;

}  // namespace polyattn

namespace polyattn::base {

void fail(ErrorCode code, std::string_view argument, std::string_view expected, std::string_view got) {
  std::string message(argument);
  message.append(": expected ").append(expected).append(", got ").append(got);
  throw Error(code, message);
}

void fail(ErrorCode code, const std::string& message) { throw Error(code, message); }

std::string text(double value) {
  std::array<char, 40> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

}  // namespace polyattn::base
