#pragma once

/// Expecting polyattn::Error with its code and with a message that says what went wrong.

#include "polyattn/error.hpp"

#include <gtest/gtest.h>

#include <exception>
#include <initializer_list>
#include <string>

namespace polyattn::test {

/// Success if `call` throws Error with this code and its message contains every one of `parts`.
template <class Call>
testing::AssertionResult fails_with(ErrorCode code, std::initializer_list<std::string> parts, Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    const std::string message = error.what();
    if (error.code() != code) {
      return testing::AssertionFailure() << "code " << static_cast<int>(error.code()) << " instead of "
                                         << static_cast<int>(code) << ", message: " << message;
    }
    for (const std::string& part : parts) {
      if (message.find(part) == std::string::npos) {
        return testing::AssertionFailure() << "'" << part << "' is not named in: " << message;
      }
    }
    return testing::AssertionSuccess();
  } catch (const std::exception& other) {
    return testing::AssertionFailure() << "not a polyattn::Error: " << other.what();
  }
  return testing::AssertionFailure() << "nothing was thrown";
}

}  // namespace polyattn::test
