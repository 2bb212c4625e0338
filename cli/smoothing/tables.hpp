#pragma once

/// What smooth and density read: points, values and queries, as matrices in .npy or .safetensors files or as named
/// columns of .csv files, whose rows with missing values are left out.

#include "io/csv_table.hpp"
#include "io/stored_tensor.hpp"
#include "polyattn/error.hpp"
#include "polyattn/view.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace polyattn::cli {

/// As given.
struct TableFlags {
  std::vector<std::string> files;
  std::optional<std::string> x, y, queries;
};

/// Checked as far as it can be without the files.
struct TableRequest {
  std::string points;
  std::optional<std::string> values;   ///< a file of its own; a .csv file of points holds them too
  std::optional<std::string> queries;  ///< none: the points, or a grid
  std::vector<std::string> x, y;       ///< columns of .csv files

  [[nodiscard]] std::vector<std::string> input_paths() const;
};

/// A matrix of numbers and where it lies.
struct Table {
  std::string file;                  ///< as given
  std::vector<std::string> columns;  ///< their names; x, or x1, x2, … where the file has none
  ConstView view;                    ///< [1, 1, rows, columns]
  bool line = false;                 ///< the file holds [rows]: so will the result
  std::optional<io::StoredTensor> tensor;
  std::shared_ptr<const io::CsvTable> table;  ///< shared by the points and values of one file

  [[nodiscard]] std::int64_t rows() const noexcept { return view.shape[2]; }
  [[nodiscard]] std::int64_t dim() const noexcept { return view.shape[3]; }
};

struct Tables {
  Table points;
  std::optional<Table> values;
  std::optional<Table> queries;
};

/// `command` takes values if `with_values`. Throws UsageError.
TableRequest table_request(const TableFlags& flags, const char* command, bool with_values);

/// Reads the files and checks that their shapes fit. Throws Error (invalid_argument), naming files.
Tables load_tables(const TableRequest& request);

/// "17 of 1,000 rows left out: delay is missing in 12, hour in 9"; empty if none were.
std::string dropped_words(const Table& table);

/// `error` as the user should see it: where the library says "points: …", the file is named.
Error with_file_name(const Error& error, const Tables& tables);

/// Calls the library so that its errors name files.
template <class Call>
auto naming_tables(const Tables& tables, const Call& call) {
  try {
    return call();
  } catch (const Error& error) {
    throw with_file_name(error, tables);
  }
}

}  // namespace polyattn::cli
