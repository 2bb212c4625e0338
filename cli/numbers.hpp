#pragma once

/// Numbers and words in flags, parsed strictly: all of the text must be the number, in range and finite.

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace polyattn::cli {

/// The command line itself is wrong: exit code 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[noreturn]] void refuse_flag(const std::string& flag, const std::string& text, const std::string& expected);

double parse_real(const std::string& flag, const std::string& text);
/// Comma-separated numbers.
std::vector<double> parse_reals(const std::string& flag, const std::string& text);
std::int64_t parse_integer(const std::string& flag, const std::string& text, std::int64_t low, std::int64_t high);
std::uint64_t parse_unsigned(const std::string& flag, const std::string& text);
/// "1500", "64K", "512MiB", "8G": suffixes K, M, G, T, with or without iB, are powers of 1024.
std::uint64_t parse_bytes(const std::string& flag, const std::string& text);

/// The value that goes with one of a few words.
template <class T>
T parse_choice(const std::string& flag, const std::string& text,
               std::initializer_list<std::pair<const char*, T>> choices) {
  std::string expected = "one of";
  for (const auto& [word, value] : choices) {
    if (text == word) return value;
    expected += (expected == "one of" ? " " : ", ") + std::string(word);
  }
  refuse_flag(flag, text, expected);
}

}  // namespace polyattn::cli
