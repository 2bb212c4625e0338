#include "support/cadical.hpp"

#include <stdlib.h>  // mkstemp
#include <unistd.h>
#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>

namespace polyattn::test {

namespace {

/// A file with some text, as long as the object lives.
class TextFile {
 public:
  explicit TextFile(const std::string& text)
      : path_((std::filesystem::temp_directory_path() / "polyattn-XXXXXX").string()) {
    const int descriptor = ::mkstemp(path_.data());
    const bool written =
        descriptor >= 0 && ::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    if (descriptor >= 0) ::close(descriptor);
    if (!written) throw std::runtime_error("cannot write " + path_);
  }
  ~TextFile() { ::unlink(path_.c_str()); }
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;
  TextFile(TextFile&&) = delete;
  TextFile& operator=(TextFile&&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

struct Close {
  void operator()(std::FILE* pipe) const noexcept { ::pclose(pipe); }
};

}  // namespace

bool cadical_says_satisfiable(const std::string& dimacs) {
  const TextFile file(dimacs);
  const std::unique_ptr<std::FILE, Close> pipe(::popen(("cadical -q -n '" + file.path() + "' 2>&1").c_str(), "r"));
  std::string said;
  std::array<char, 4096> part{};
  while (pipe && std::fgets(part.data(), part.size(), pipe.get()) != nullptr) said += part.data();
  if (said.starts_with("s SATISFIABLE")) return true;
  if (said.starts_with("s UNSATISFIABLE")) return false;
  throw std::runtime_error("cadical (Debian package cadical, scripts/setup) did not answer: " + said);
}

}  // namespace polyattn::test
