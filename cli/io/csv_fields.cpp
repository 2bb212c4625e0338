#include "io/csv_fields.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace polyattn::io {

CsvFields::CsvFields(OnField on_field, OnRow on_row) : on_field_(std::move(on_field)), on_row_(std::move(on_row)) {
  // Strictly: what a stray quote would swallow may be many lines. All line ends are reported, to count lines.
  if (csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL) != 0) throw std::bad_alloc();
}

CsvFields::~CsvFields() { csv_free(&parser_); }

void CsvFields::feed(std::string_view text) {
  check(csv_parse(&parser_, text.data(), text.size(), field_callback, row_callback, this) == text.size());
}

void CsvFields::finish() { check(csv_fini(&parser_, field_callback, row_callback, this) == 0); }

void CsvFields::check(bool parsed) {
  if (thrown_) std::rethrow_exception(thrown_);
  if (parsed) return;
  if (csv_error(&parser_) != CSV_EPARSE) throw std::bad_alloc();
  const std::int64_t line = in_row_ ? row_line_ : line_;
  throw MisplacedQuote(
      "line " + std::to_string(line) +
      ": a quote is misplaced or missing (a field with quotes is enclosed in quotes, its own doubled)");
}

void CsvFields::field(std::string_view text) {
  if (!in_row_) row_line_ = line_;
  in_row_ = true;
  after_return_ = false;
  // Only inside quotes can there be any.
  line_ += std::ranges::count(text, '\n');
  on_field_(text, row_line_);
}

void CsvFields::row_end(int terminator) {
  const bool second_half = terminator == '\n' && after_return_;
  after_return_ = terminator == '\r';
  if (second_half) return;
  ++line_;
  if (!in_row_) return;  // an empty line
  in_row_ = false;
  on_row_(row_line_);
}

void CsvFields::field_callback(void* text, std::size_t size, void* self) noexcept {
  auto& fields = *static_cast<CsvFields*>(self);
  if (fields.thrown_) return;
  try {
    fields.field({static_cast<const char*>(text), size});
  } catch (...) {
    fields.thrown_ = std::current_exception();
  }
}

void CsvFields::row_callback(int terminator, void* self) noexcept {
  auto& fields = *static_cast<CsvFields*>(self);
  if (fields.thrown_) return;
  try {
    fields.row_end(terminator);
  } catch (...) {
    fields.thrown_ = std::current_exception();
  }
}

std::string csv_quoted(const std::string& text) {
  const bool outer_blanks = !text.empty() && (std::string_view(" \t").find(text.front()) != std::string_view::npos ||
                                              std::string_view(" \t").find(text.back()) != std::string_view::npos);
  if (text.find_first_of(",\"\r\n") == std::string::npos && !outer_blanks) return text;
  std::string quoted(2 * text.size() + 2, '\0');
  quoted.resize(csv_write(quoted.data(), quoted.size(), text.data(), text.size()));
  return quoted;
}

}  // namespace polyattn::io
