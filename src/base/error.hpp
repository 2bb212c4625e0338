#pragma once

/// Raising errors in one way.

#include "polyattn/error.hpp"

#include <string>
#include <string_view>

namespace polyattn::base {

/// Throws Error with the message "argument: expected ..., got ...".
[[noreturn]] void fail(ErrorCode code, std::string_view argument, std::string_view expected, std::string_view got);
/// Throws Error with a message of its own.
[[noreturn]] void fail(ErrorCode code, const std::string& message);

/// Shortest decimal text that reads back as the same double.
std::string text(double value);

}  // namespace polyattn::base
