// The dict literal at the front of a .npy file, in the subset of Python that can occur there: strings without escapes,
// True and False, non-negative integers (Python 2 wrote 3L) and tuples of them. Keys may come in any order, white space
// and a trailing comma anywhere Python allows them.

#include "io/npy.hpp"
#include "polyattn/error.hpp"

#include <charconv>
#include <optional>
#include <string_view>

namespace polyattn::io {

namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& what) {
  throw Error(ErrorCode::invalid_argument, name + ": " + what);
}

/// A reader of the literal `text`, of the file called `name`.
class Literal {
 public:
  Literal(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  [[noreturn]] void fail(const std::string& what) const {
    refuse(name_, "malformed .npy header at character " + std::to_string(at_) + ": " + what);
  }
  char peek() {
    while (at_ < text_.size() && std::string_view(" \t\r\n\f").find(text_[at_]) != std::string_view::npos) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool skip(char expected) {
    if (peek() != expected || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }
  void expect(char expected) {
    if (!skip(expected)) fail(std::string("expected '") + expected + "', found " + found());
  }
  void expect_end() {
    peek();
    if (at_ != text_.size()) fail("expected nothing after the closing '}', found " + found());
  }
  std::string string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail("expected a string, found " + found());
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) fail("a string that does not end");
    std::string result(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return result;
  }
  bool boolean() {
    peek();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    fail("fortran_order must be True or False, found " + found());
  }
  std::int64_t dimension() {
    peek();
    const char* first = text_.data() + at_;
    const char* last = text_.data() + text_.size();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(first, last, value);
    if (error == std::errc::result_out_of_range) fail("a dimension in shape that does not fit 63 bits");
    if (error != std::errc{} || value < 0) fail("shape must hold non-negative integers, found " + found());
    at_ += static_cast<std::size_t>(end - first);
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;
    if (const char next = peek(); next != ',' && next != ')') {
      fail("shape must hold non-negative integers, found " + found() + " after " + std::to_string(value));
    }
    return value;
  }
  std::vector<std::int64_t> tuple() {
    if (!skip('(')) fail("shape must be a tuple, found " + found());
    std::vector<std::int64_t> values;
    while (peek() != ')') {
      values.push_back(dimension());
      // (3) is a number in Python, not a tuple.
      if (!skip(',') && values.size() == 1) fail("shape must be a tuple; one dimension is written (n,)");
      if (values.size() > 32) fail("more than the 32 dimensions NumPy allows");
    }
    expect(')');
    return values;
  }

 private:
  std::string found() const {
    if (at_ >= text_.size()) return "the end of the header";
    std::string shown;
    for (const char c : text_.substr(at_, 12)) shown += c >= ' ' && c <= '~' ? c : '?';
    return "'" + shown + "'";
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t at_ = 0;
};

NpyHeader parse_dict(std::string_view text, const std::string& name) {
  Literal literal(text, name);
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::int64_t>> shape;
  literal.expect('{');
  while (literal.peek() != '}') {
    const std::string key = literal.string();
    literal.expect(':');
    if ((key == "descr" && descr) || (key == "fortran_order" && fortran_order) || (key == "shape" && shape)) {
      literal.fail("the key '" + key + "' is given twice");
    }
    if (key == "descr") {
      if (literal.peek() == '[' || literal.peek() == '(') {
        refuse(name, "holds a structured type, expected float16, float32 or float64 ('<f2', '<f4' or '<f8')");
      }
      descr = literal.string();
    } else if (key == "fortran_order") {
      fortran_order = literal.boolean();
    } else if (key == "shape") {
      shape = literal.tuple();
    } else {
      literal.fail("unexpected key '" + key + "'");
    }
    if (!literal.skip(',')) break;
  }
  literal.expect('}');
  literal.expect_end();
  for (const auto& [key, present] :
       {std::pair{"descr", descr.has_value()}, std::pair{"fortran_order", fortran_order.has_value()},
        std::pair{"shape", shape.has_value()}}) {
    if (!present) refuse(name, std::string("malformed .npy header: the key '") + key + "' is missing");
  }
  return {*descr, *fortran_order, *shape, 0};
}

}  // namespace

NpyHeader parse_npy_header(std::span<const std::byte> bytes, const std::string& name) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  constexpr std::string_view magic = "\x93NUMPY";
  if (text.starts_with("PK\x03\x04")) refuse(name, "is a .npz (zip) archive; unpack it and give one of its .npy files");
  if (!text.starts_with(magic.substr(0, text.size()))) {
    refuse(name, "is not a .npy file: it does not begin with \\x93NUMPY");
  }
  constexpr std::size_t version_at = 6;
  constexpr std::size_t length_at = 8;
  if (text.size() <= length_at) {
    refuse(name, "truncated: a .npy file has a header, this file ends after " + std::to_string(text.size()) + " bytes");
  }
  const auto byte = [&](std::size_t at) { return std::to_integer<std::size_t>(bytes[at]); };
  const std::size_t major = byte(version_at);
  const std::size_t minor = byte(version_at + 1);
  if (major < 1 || major > 3 || minor != 0) {
    refuse(name, "has version " + std::to_string(major) + "." + std::to_string(minor) +
                     " of the .npy format, expected 1.0, 2.0 or 3.0");
  }
  const std::size_t length_size = major == 1 ? 2 : 4;
  const std::size_t header_at = length_at + length_size;
  if (text.size() < header_at) {
    refuse(name, "truncated: a .npy file has a header, this file ends after " + std::to_string(text.size()) + " bytes");
  }
  std::size_t length = 0;
  for (std::size_t k = length_size; k-- > 0;) length = length * 256 + byte(length_at + k);
  if (length > text.size() - header_at) {
    refuse(name, "truncated: the header has " + std::to_string(length) + " bytes, but only " +
                     std::to_string(text.size() - header_at) + " follow");
  }
  NpyHeader header = parse_dict(text.substr(header_at, length), name);
  header.data_offset = header_at + length;
  return header;
}

}  // namespace polyattn::io
