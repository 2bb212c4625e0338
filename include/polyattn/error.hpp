#pragma once

/// The one exception type of the library. Misuse is reported once, at the public boundary; the message names the
/// argument, what was expected and what came.

#include "polyattn/export.hpp"

#include <cstdint>
#include <stdexcept>
#include <string>

namespace polyattn {

enum class ErrorCode : std::uint8_t {
  invalid_argument,  ///< a shape, size, number or combination that cannot mean anything
  unsupported,       ///< legal, but no engine (or not the forced one) can do it; the message names what and which
  non_finite,        ///< NaN or infinity in an input, or scores beyond the range of float64
  not_reachable,     ///< no allowed engine certifies the tolerance
  out_of_memory,     ///< `max_memory` or the machine's memory would not suffice
  cancelled,         ///< the progress callable asked to stop
};

class POLYATTN_EXPORT Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message);
  ~Error() override;
  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace polyattn
