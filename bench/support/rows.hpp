#pragma once

/// The rows a driver has written, and the headline figures read off them.

#include <nlohmann/json.hpp>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace polyattn::bench {

using Json = nlohmann::ordered_json;

struct Figure {
  std::string name;
  double value = 0.0;
  std::string unit;
  std::vector<double> processes;  ///< the values of every process, if there were several
};

/// Figures in the order they were added. A value that is absent (its case was filtered out) adds nothing.
class Figures {
 public:
  void add(const std::string& name, std::optional<double> value, const std::string& unit);
  /// The best of the processes, all of which are kept.
  void add_best(const std::string& name, const std::vector<double>& processes, const std::string& unit);
  /// The median of the processes, all of which are kept.
  void add_median(const std::string& name, const std::vector<double>& processes, const std::string& unit);
  [[nodiscard]] const std::vector<Figure>& all() const noexcept { return figures_; }

 private:
  std::vector<Figure> figures_;
};

class Rows {
 public:
  explicit Rows(Json rows) : rows_(std::move(rows)) {}
  /// The counter of a case in every process that has it.
  [[nodiscard]] std::vector<double> all(const std::string& name, const std::string& counter) const;
  /// The same in the first process.
  [[nodiscard]] std::optional<double> value(const std::string& name, const std::string& counter) const;
  [[nodiscard]] bool has_errors() const;
  /// "CASE: why" for the cases the library refused (ErrorCode::unsupported), of one process.
  [[nodiscard]] std::vector<std::string> refusals() const;
  [[nodiscard]] const Json& json() const noexcept { return rows_; }

 private:
  Json rows_;
};

/// The name of a case as a figure has it: "a/b/c" becomes "a_b_c".
std::string figure_name(const std::string& name);

std::optional<double> ratio(std::optional<double> numerator, std::optional<double> denominator);
std::optional<double> difference(std::optional<double> left, std::optional<double> right);

}  // namespace polyattn::bench
