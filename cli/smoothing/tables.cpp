#include "smoothing/tables.hpp"

#include "io/tensor_file.hpp"
#include "numbers.hpp"
#include "signals.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <cctype>
#include <stdexcept>
#include <utility>

namespace polyattn::cli {

namespace {

std::vector<std::string> parse_columns(const std::string& flag, const std::optional<std::string>& text) {
  if (!text) return {};
  std::vector<std::string> columns;
  try {
    columns = io::csv_fields(*text);
  } catch (const std::invalid_argument&) {
    columns.clear();
  }
  if (columns.empty() || std::ranges::count(columns, "") > 0) {
    refuse_flag(flag, *text, "names of columns, separated by commas, in quotes where they hold any");
  }
  return columns;
}

void check_distinct(std::vector<std::string> columns) {
  std::ranges::sort(columns);
  if (const auto twice = std::ranges::adjacent_find(columns); twice != columns.end()) {
    throw UsageError(fmt::format("column '{}' is named twice in --x and --y", *twice));
  }
}

std::vector<std::string> numbered(const char* letter, std::int64_t count) {
  std::vector<std::string> names;
  for (std::int64_t k = 1; k <= count; ++k) names.push_back(count == 1 ? letter : letter + std::to_string(k));
  return names;
}

Table from_tensor(const std::string& name, const char* letter) {
  Table table;
  table.file = name;
  table.tensor = io::read_tensor(name, io::Role::any);
  const std::vector<std::int64_t>& dims = table.tensor->dims;
  if (dims.size() > 2) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: has shape {}, expected [n, d], or [n] for d = 1", name, io::dims_text(dims)));
  }
  table.line = dims.size() == 1;
  table.view = table.line ? ConstView{table.tensor->data, table.tensor->dtype, {1, 1, dims[0], 1}, {0, 0, 1, 1}}
                          : io::tensor_view(*table.tensor);
  table.columns = numbered(letter, table.dim());
  return table;
}

/// Columns [first, first + count) of a .csv file.
Table from_csv(std::shared_ptr<const io::CsvTable> csv, std::size_t first, std::size_t count) {
  Table table;
  table.file = csv->path;
  const auto begin = csv->columns.begin() + static_cast<std::ptrdiff_t>(first);
  table.columns.assign(begin, begin + static_cast<std::ptrdiff_t>(count));
  const auto width = static_cast<std::int64_t>(csv->columns.size());
  table.view = {csv->cells.data() + first,
                DType::float64,
                {1, 1, csv->rows, static_cast<std::int64_t>(count)},
                {csv->rows * width, csv->rows * width, width, 1}};
  table.table = std::move(csv);
  return table;
}

std::shared_ptr<const io::CsvTable> read(const std::string& path, const std::vector<std::string>& columns) {
  auto csv = std::make_shared<io::CsvTable>(io::read_csv(path, columns, [] { return !interrupted(); }));
  if (csv->rows == 0 && csv->dropped > 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: no row is left: {}", path, dropped_words(from_csv(csv, 0, 0))));
  }
  return csv;
}

void check_shapes(const Tables& tables) {
  const auto shape = [](const Table& table) {
    return fmt::format("({}, ({}, {}))", table.file, table.rows(), table.dim());
  };
  const Table& points = tables.points;
  if (points.rows() == 0) throw Error(ErrorCode::invalid_argument, points.file + ": has no rows");
  if (points.dim() == 0) throw Error(ErrorCode::invalid_argument, points.file + ": has no columns");
  if (tables.values && tables.values->rows() != points.rows()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("the points {} and the values {} do not fit: their lengths n are {} and {}", shape(points),
                            shape(*tables.values), points.rows(), tables.values->rows()));
  }
  if (tables.values && tables.values->dim() == 0) {
    throw Error(ErrorCode::invalid_argument, tables.values->file + ": has no columns");
  }
  if (tables.queries && tables.queries->dim() != points.dim()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("the points {} and the queries {} do not fit: they have {} and {} columns", shape(points),
                            shape(*tables.queries), points.dim(), tables.queries->dim()));
  }
}

}  // namespace

std::vector<std::string> TableRequest::input_paths() const {
  std::vector<std::string> paths{io::split_name(points).path};
  for (const auto& file : {values, queries}) {
    if (file) paths.push_back(io::split_name(*file).path);
  }
  return paths;
}

TableRequest table_request(const TableFlags& flags, const char* command, bool with_values) {
  const std::vector<std::string>& files = flags.files;
  TableRequest request;
  if (files.empty()) throw UsageError(fmt::format("{} needs a file of points", command));
  request.points = files[0];
  request.queries = flags.queries;
  request.x = parse_columns("--x", flags.x);
  request.y = parse_columns("--y", flags.y);
  std::vector<std::string> all = request.x;
  all.insert(all.end(), request.y.begin(), request.y.end());
  check_distinct(std::move(all));

  const bool table = io::is_csv(request.points);
  const bool named_queries = request.queries && io::is_csv(*request.queries);
  if ((table || named_queries) && request.x.empty()) {
    throw UsageError(
        fmt::format("--x is needed: the columns of {} that are coordinates", table ? files[0] : *request.queries));
  }
  if (!table && !named_queries && flags.x) throw UsageError("--x names columns of .csv files, and there is none");
  if (files.size() > (with_values ? 2U : 1U)) {
    throw UsageError(fmt::format("{} takes {}, got {} files (queries go to --queries)", command,
                                 with_values ? "a file of points and one of values" : "one file of points",
                                 files.size()));
  }
  if (!with_values) return request;
  if (table) {
    if (request.y.empty()) throw UsageError(fmt::format("--y is needed: the columns of {} that are values", files[0]));
    if (files.size() == 2 && files[1] != files[0]) {
      throw UsageError(fmt::format("values are taken from the rows of {} (--y); leave out {}", files[0], files[1]));
    }
    return request;
  }
  if (flags.y) throw UsageError("--y names columns of a .csv file of points; values have a file of their own here");
  if (files.size() != 2) throw UsageError(fmt::format("{} needs a file of values beside {}", command, files[0]));
  if (io::is_csv(files[1])) {
    throw UsageError(fmt::format("{}: values are in a .csv file only together with their points", files[1]));
  }
  request.values = files[1];
  return request;
}

Tables load_tables(const TableRequest& request) {
  Tables tables;
  if (io::is_csv(request.points)) {
    std::vector<std::string> columns = request.x;
    columns.insert(columns.end(), request.y.begin(), request.y.end());
    const auto csv = read(request.points, columns);
    tables.points = from_csv(csv, 0, request.x.size());
    if (!request.y.empty()) tables.values = from_csv(csv, request.x.size(), request.y.size());
  } else {
    tables.points = from_tensor(request.points, "x");
    if (request.values) tables.values = from_tensor(*request.values, "y");
  }
  if (request.queries) {
    tables.queries = io::is_csv(*request.queries) ? from_csv(read(*request.queries, request.x), 0, request.x.size())
                                                  : from_tensor(*request.queries, "x");
  }
  check_shapes(tables);
  stop_if_interrupted();
  return tables;
}

std::string dropped_words(const Table& table) {
  if (!table.table || table.table->dropped == 0) return {};
  const io::CsvTable& csv = *table.table;
  std::string text = fmt::format("{} of {} rows left out:", csv.dropped, csv.rows + csv.dropped);
  const char* before = " ";
  for (std::size_t column = 0; column < csv.columns.size(); ++column) {
    if (csv.missing[column] == 0) continue;
    text += fmt::format("{}{} is missing in {}", before, csv.columns[column], csv.missing[column]);
    before = ", ";
  }
  return text;
}

Error with_file_name(const Error& error, const Tables& tables) {
  std::string message = error.what();
  const std::string argument = message.substr(0, message.find(':'));
  const Table* table = nullptr;
  if (error.code() == ErrorCode::non_finite || error.code() == ErrorCode::invalid_argument) {
    if (argument == "points") table = &tables.points;
    if (argument == "values" && tables.values) table = &*tables.values;
    if (argument == "queries" && tables.queries) table = &*tables.queries;
  }
  if (table == nullptr) return error;
  message = table->file + message.substr(argument.size());
  if (!table->table) return {error.code(), message};
  // Who wrote the table knows its columns by name.
  for (std::size_t column = 0; column < table->columns.size(); ++column) {
    const std::string number = "column " + std::to_string(column);
    const std::size_t at = message.find(number);
    if (at == std::string::npos || std::isdigit(message[at + number.size()]) != 0) continue;
    message.replace(at, number.size(), "column '" + table->columns[column] + "'");
    break;
  }
  return {error.code(), message};
}

}  // namespace polyattn::cli
