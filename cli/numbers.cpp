#include "numbers.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

namespace polyattn::cli {

namespace {

/// True if all of `text` is a number of type T; `range` is set if it is one that T cannot hold.
template <class T>
bool read(std::string_view text, T& value, bool& range) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  range = error == std::errc::result_out_of_range;
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

void refuse_flag(const std::string& flag, const std::string& text, const std::string& expected) {
  throw UsageError(flag + " '" + text + "': expected " + expected);
}

double parse_real(const std::string& flag, const std::string& text) {
  double value = 0.0;
  bool range = false;
  if (!read(text, value, range) || !std::isfinite(value)) {
    refuse_flag(flag, text, range ? "a number float64 can hold" : "a finite number, e.g. 0.001 or 1e-3");
  }
  return value;
}

std::vector<double> parse_reals(const std::string& flag, const std::string& text) {
  std::vector<double> values;
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = text.find(',', begin);
    values.push_back(parse_real(flag, text.substr(begin, end == std::string::npos ? end : end - begin)));
    if (end == std::string::npos) return values;
    begin = end + 1;
  }
}

std::int64_t parse_integer(const std::string& flag, const std::string& text, std::int64_t low, std::int64_t high) {
  std::int64_t value = 0;
  bool range = false;
  if (!read(text, value, range) || value < low || value > high) {
    refuse_flag(flag, text, "an integer from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return value;
}

std::uint64_t parse_unsigned(const std::string& flag, const std::string& text) {
  std::uint64_t value = 0;
  bool range = false;
  if (!read(text, value, range)) refuse_flag(flag, text, "an integer from 0 to 18446744073709551615");
  return value;
}

std::uint64_t parse_bytes(const std::string& flag, const std::string& text) {
  constexpr std::array<char, 4> units{'K', 'M', 'G', 'T'};
  std::string_view digits = text;
  int shift = 0;
  if (digits.ends_with("iB")) digits.remove_suffix(2);
  for (std::size_t k = 0; k < units.size(); ++k) {
    if (!digits.empty() && digits.back() == units[k]) shift = 10 * (static_cast<int>(k) + 1);
  }
  if (shift != 0) digits.remove_suffix(1);
  const bool unit_missing = shift == 0 && digits.size() != text.size();
  std::uint64_t value = 0;
  bool range = false;
  if (unit_missing || !read(digits, value, range) || value > (UINT64_MAX >> shift)) {
    refuse_flag(flag, text, "a number of bytes below 2^64, e.g. 1500000, 512M or 8GiB (powers of 1024)");
  }
  return value << shift;
}

}  // namespace polyattn::cli
