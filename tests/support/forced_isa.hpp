#pragma once

/// The instruction set as a test wants it.

#include <cstdlib>
#include <optional>
#include <string>

namespace polyattn::test {

/// POLYATTN_ISA for as long as this lives; as it was before afterwards.
class ForcedIsa {
 public:
  ForcedIsa() {
    if (const char* before = std::getenv(kName)) {
      before_ = before;
    }
  }
  explicit ForcedIsa(const std::string& isa) : ForcedIsa() { set(isa); }
  ~ForcedIsa() { before_ ? set(*before_) : unset(); }
  ForcedIsa(const ForcedIsa&) = delete;
  ForcedIsa& operator=(const ForcedIsa&) = delete;
  void set(const std::string& isa) { setenv(kName, isa.c_str(), 1); }
  void unset() { unsetenv(kName); }

 private:
  static constexpr const char* kName = "POLYATTN_ISA";
  std::optional<std::string> before_;
};

}  // namespace polyattn::test
