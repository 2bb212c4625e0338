#pragma once

/// Tables of numbers in .csv files, by named columns (RFC 4180, split into fields by libcsv).
///
/// The first line names the columns. Fields are separated by commas and may be quoted, lines end in LF, CR LF or CR,
/// empty lines are skipped, and a UTF-8 byte order mark is ignored. A number has a decimal point, whatever the locale,
/// and is rounded to the nearest float64. Cost: one pass over the file, some 100 MB a second.

#include "io/staged_file.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace polyattn::io {

struct CsvTable {
  std::string path;
  std::vector<std::string> columns;   ///< those asked for, in that order
  std::vector<double> cells;          ///< [rows, columns], C order, all finite
  std::int64_t rows = 0;              ///< those with a number in every column asked for
  std::int64_t dropped = 0;           ///< rows left out because a cell is missing
  std::vector<std::int64_t> missing;  ///< for each column, the rows in which its cell is
};

/// True for names that end in .csv, in capitals or not.
bool is_csv(std::string_view path);

/// The columns called `columns`, none of them twice. A cell that is empty, NA, NaN or null (in capitals or not) is
/// missing, and its row is left out. Throws Error: invalid_argument naming the file, and line and column where there is
/// one, for a column the file does not have or has twice, a line with more or fewer fields than the first, a cell that
/// is no number float64 can hold, infinite numbers, misplaced quotes; cancelled if `keep_going` says so.
CsvTable read_csv(const std::string& path, const std::vector<std::string>& columns, const KeepGoing& keep_going = {});

/// The fields of one line; names with commas are quoted in it. Throws std::invalid_argument for misplaced quotes or
/// more than one line.
std::vector<std::string> csv_fields(std::string_view line);

/// A column to be written: element i is data[i * stride].
struct CsvColumn {
  std::string name;
  const double* data = nullptr;
  std::int64_t stride = 1;
};

/// Writes names and `rows` lines; each number in the fewest digits that are read back as the same float64, NaN and
/// infinities as nan, inf and -inf.
void write_csv(StagedFile& file, std::span<const CsvColumn> columns, std::int64_t rows,
               const KeepGoing& keep_going = {});

}  // namespace polyattn::io
