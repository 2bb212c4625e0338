#pragma once

/// libcsv behind an interface that counts lines and lets exceptions through: its C code must not be unwound.

#include <csv.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace polyattn::io {

/// A quote inside a field that does not begin with one, text after a closing quote, or no closing quote. The message
/// names the line. Quotes inside a quoted field are doubled.
struct MisplacedQuote : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

class CsvFields {
 public:
  /// Both are told the line, from 1, on which the current row began: a quoted field may hold several.
  using OnField = std::function<void(std::string_view field, std::int64_t line)>;
  using OnRow = std::function<void(std::int64_t line)>;

  CsvFields(OnField on_field, OnRow on_row);
  ~CsvFields();
  CsvFields(const CsvFields&) = delete;
  CsvFields& operator=(const CsvFields&) = delete;
  CsvFields(CsvFields&&) = delete;
  CsvFields& operator=(CsvFields&&) = delete;

  /// The next piece of the text. Throws what the callbacks threw, MisplacedQuote, std::bad_alloc; nothing may follow.
  void feed(std::string_view text);
  /// The end of the text, which may lack the end of its last line.
  void finish();

 private:
  void field(std::string_view text);
  void row_end(int terminator);
  void check(bool parsed);
  static void field_callback(void* text, std::size_t size, void* self) noexcept;
  static void row_callback(int terminator, void* self) noexcept;

  csv_parser parser_{};
  OnField on_field_;
  OnRow on_row_;
  std::exception_ptr thrown_;
  std::int64_t line_ = 1;      ///< where the parser is
  std::int64_t row_line_ = 1;  ///< where the row began
  bool in_row_ = false;
  bool after_return_ = false;  ///< the last line ended in CR: an LF that follows at once belongs to it
};

/// `text` as one field: in quotes, its own doubled, where it has commas, quotes, line ends or outer blanks.
std::string csv_quoted(const std::string& text);

}  // namespace polyattn::io
