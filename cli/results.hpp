#pragma once

/// Reports as JSON and in words, and the files a command leaves behind.

#include "io/csv_table.hpp"
#include "io/staged_file.hpp"
#include "polyattn/attention.hpp"
#include "verification.hpp"

#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace polyattn::cli {

/// Insertion order is kept: files read from top to bottom. Numbers that are not finite are written as null.
using Json = nlohmann::ordered_json;

/// The version of the JSON layout; it changes when a field changes its meaning or goes.
constexpr int json_schema = 1;

Json to_json(const Report& report, const Verification* verification);
Json to_json(const PlanReport& plan);
Json to_json(const SweepReport& sweep);
Json to_json(const Verification& verification);
/// Indented text with a final newline.
std::string json_text(const Json& json);

/// The report in words; from nine heads on one line for each group of heads answered alike.
std::string words(const Report& report);

/// Files that appear together at the end, or not at all.
class Outputs {
 public:
  /// A tensor of [batch, heads, n, columns]; its last `rank` dimensions are the file's. With `per_row`, columns = 1 is
  /// left out.
  void add_tensor(const std::string& path, const Tensor& tensor, std::size_t rank, bool per_row);
  /// Contiguous elements in C order.
  void add_array(const std::string& path, DType dtype, std::span<const std::int64_t> dims, const void* data);
  /// int64 [values.size()].
  void add_integers(const std::string& path, std::span<const std::int64_t> values);
  void add_table(const std::string& path, std::span<const io::CsvColumn> columns, std::int64_t rows);
  void add_text(const std::string& path, const std::string& text);
  /// All are on disk; now they get their names.
  void commit();

 private:
  std::vector<std::unique_ptr<io::StagedFile>> files_;
};

/// Gives the files their names, with the report beside them: `json_path` empty prints the words; "-" prints JSON
/// instead; else JSON goes to that file and the words to standard output.
void publish(const std::optional<std::string>& json_path, const Json& json, const std::string& in_words,
             Outputs files = {});
/// `path` unless it is "-", standard output.
std::vector<std::string> file_outputs(const std::vector<std::optional<std::string>>& paths);

}  // namespace polyattn::cli
