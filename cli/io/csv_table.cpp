#include "io/csv_table.hpp"

#include "io/csv_fields.hpp"
#include "io/mapped_file.hpp"
#include "polyattn/error.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <stdexcept>

namespace polyattn::io {

namespace {

constexpr std::size_t chunk = std::size_t{256} << 10;  // between looks at keep_going, and past an error

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
  throw Error(ErrorCode::invalid_argument, path + ": " + what);
}

char lower(char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter; }

bool same_letters(std::string_view text, std::string_view word) { return std::ranges::equal(text, word, {}, lower); }

/// `text` for a message, cut where it is long.
std::string quoted(std::string_view text) {
  constexpr std::size_t most = 40;
  std::string shown(text.substr(0, most));
  std::ranges::replace_if(
      shown, [](char letter) { return static_cast<unsigned char>(letter) < ' '; }, ' ');
  return "'" + shown + (text.size() > most ? "…'" : "'");
}

std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t most = 40;
  std::string text;
  for (std::size_t k = 0; k < std::min(names.size(), most); ++k) text += (k == 0 ? "" : ", ") + names[k];
  return names.size() > most ? text + ", … (" + std::to_string(names.size()) + " in all)" : text;
}

enum class Cell : std::uint8_t { number, missing, text, infinite, range };

/// Correctly rounded and independent of the locale, which strtod is not.
Cell parse_cell(std::string_view text, double& value) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  if (text.empty()) return Cell::missing;
  std::string_view number = text;
  if (number.size() > 1 && number[0] == '+' && number[1] != '-') number.remove_prefix(1);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (end == number.data() + number.size()) {
    if (error == std::errc::result_out_of_range) return Cell::range;
    if (error == std::errc{}) {
      return std::isfinite(value) ? Cell::number : std::isnan(value) ? Cell::missing : Cell::infinite;
    }
  }
  for (const char* word : {"na", "nan", "null"}) {
    if (same_letters(text, word)) return Cell::missing;
  }
  return Cell::text;
}

/// Which field of a line goes to which column asked for.
class Header {
 public:
  Header(const std::string& path, const std::vector<std::string>& names, const std::vector<std::string>& wanted)
      : targets_(names.size(), none) {
    for (std::size_t column = 0; column < wanted.size(); ++column) {
      const auto found = std::ranges::find(names, wanted[column]);
      if (found == names.end()) {
        const bool other = names.size() == 1 && names.front().find_first_of(";\t|") != std::string::npos;
        refuse(path, "has no column '" + wanted[column] + "'; it has " + listed(names) +
                         (other ? " (one column: a comma must separate them)" : ""));
      }
      if (std::find(found + 1, names.end(), wanted[column]) != names.end()) {
        refuse(path, "has two columns called '" + wanted[column] + "'");
      }
      targets_[static_cast<std::size_t>(found - names.begin())] = column;
    }
  }
  static constexpr std::size_t none = SIZE_MAX;
  [[nodiscard]] std::size_t fields() const noexcept { return targets_.size(); }
  [[nodiscard]] std::size_t target(std::size_t field) const noexcept { return targets_[field]; }

 private:
  std::vector<std::size_t> targets_;
};

/// Lines as they come, into the table.
class Rows {
 public:
  Rows(CsvTable& table, const Header& header)
      : table_(table), header_(header), row_(table.columns.size()), absent_(table.columns.size()) {}

  void field(std::string_view text, std::int64_t line) {
    const std::size_t target = field_ < header_.fields() ? header_.target(field_) : Header::none;
    ++field_;
    if (target == Header::none) return;
    const Cell cell = parse_cell(text, row_[target]);
    absent_[target] = cell == Cell::missing;
    if (cell == Cell::number || cell == Cell::missing) return;
    const char* problem = cell == Cell::text       ? " is not a number"
                          : cell == Cell::infinite ? " is not a finite number"
                                                   : " is beyond the numbers float64 can hold";
    refuse(table_.path,
           "line " + std::to_string(line) + ", column '" + table_.columns[target] + "': " + quoted(text) + problem);
  }

  void end(std::int64_t line) {
    if (field_ != header_.fields()) {
      refuse(table_.path, "line " + std::to_string(line) + " has " + std::to_string(field_) + " fields, expected " +
                              std::to_string(header_.fields()) + " as in the first line");
    }
    field_ = 0;
    bool whole = true;
    for (std::size_t column = 0; column < absent_.size(); ++column) {
      if (!absent_[column]) continue;
      whole = false;
      ++table_.missing[column];
    }
    if (whole) {
      table_.cells.insert(table_.cells.end(), row_.begin(), row_.end());
      ++table_.rows;
    } else {
      ++table_.dropped;
    }
  }

 private:
  CsvTable& table_;
  const Header& header_;
  std::size_t field_ = 0;
  std::vector<double> row_;
  std::vector<char> absent_;
};

std::string_view without_mark(const std::string& path, std::string_view text) {
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) refuse(path, "is UTF-16 text, expected UTF-8");
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return text;
}

}  // namespace

bool is_csv(std::string_view path) {
  constexpr std::string_view extension = ".csv";
  return path.size() > extension.size() && same_letters(path.substr(path.size() - extension.size()), extension);
}

CsvTable read_csv(const std::string& path, const std::vector<std::string>& columns, const KeepGoing& keep_going) {
  const MappedFile file(path);
  const std::string_view text =
      without_mark(path, {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
  CsvTable table;
  table.path = path;
  table.columns = columns;
  table.missing.resize(columns.size());
  std::vector<std::string> names;
  std::optional<Header> header;
  std::optional<Rows> rows;
  CsvFields parser(
      [&](std::string_view field, std::int64_t line) {
        if (rows) {
          rows->field(field, line);
        } else {
          names.emplace_back(field);
        }
      },
      [&](std::int64_t line) {
        if (rows) {
          rows->end(line);
        } else {
          header.emplace(path, names, columns);
          rows.emplace(table, *header);
        }
      });
  try {
    for (std::size_t begin = 0; begin < text.size(); begin += chunk) {
      if (keep_going && !keep_going()) throw Error(ErrorCode::cancelled, path + ": interrupted while reading");
      parser.feed(text.substr(begin, chunk));
    }
    parser.finish();
  } catch (const MisplacedQuote& error) {
    refuse(path, error.what());
  }
  if (!rows) refuse(path, "has no line of column names");
  return table;
}

std::vector<std::string> csv_fields(std::string_view line) {
  std::vector<std::string> fields;
  int lines = 0;
  CsvFields parser([&](std::string_view field, std::int64_t) { fields.emplace_back(field); },
                   [&](std::int64_t) { ++lines; });
  parser.feed(line);
  parser.finish();
  if (lines > 1) throw std::invalid_argument("more than one line");
  return fields;
}

void write_csv(StagedFile& file, std::span<const CsvColumn> columns, std::int64_t rows, const KeepGoing& keep_going) {
  std::string text;
  const auto flush = [&](std::size_t least) {
    if (text.size() < least) return;
    file.write(std::as_bytes(std::span(text)), keep_going);
    text.clear();
  };
  for (std::size_t c = 0; c < columns.size(); ++c) text += (c == 0 ? "" : ",") + csv_quoted(columns[c].name);
  text += '\n';
  std::array<char, 32> digits{};  // the shortest form of a float64 has at most 24
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (c > 0) text += ',';
      const double value = columns[c].data[row * columns[c].stride];
      const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value);
      text.append(digits.data(), written.ptr);
    }
    text += '\n';
    flush(chunk);
  }
  flush(1);
}

}  // namespace polyattn::io
