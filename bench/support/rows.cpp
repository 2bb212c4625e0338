#include "support/rows.hpp"

#include "support/statistics.hpp"

#include <algorithm>
#include <utility>

namespace polyattn::bench {

void Figures::add(const std::string& name, std::optional<double> value, const std::string& unit) {
  if (value) figures_.push_back({name, *value, unit, {}});
}

void Figures::add_best(const std::string& name, const std::vector<double>& processes, const std::string& unit) {
  if (!processes.empty()) figures_.push_back({name, highest(processes), unit, processes});
}

void Figures::add_median(const std::string& name, const std::vector<double>& processes, const std::string& unit) {
  if (!processes.empty()) figures_.push_back({name, median(processes), unit, processes});
}

std::vector<double> Rows::all(const std::string& name, const std::string& counter) const {
  std::vector<double> values;
  for (const Json& row : rows_) {
    // Google Benchmark appends "/iterations:..." and more to the name a case was given.
    const std::string full = row.value("name", "");
    if ((full == name || full.starts_with(name + "/iterations:")) && row.contains(counter)) {
      values.push_back(row[counter].get<double>());
    }
  }
  return values;
}

std::optional<double> Rows::value(const std::string& name, const std::string& counter) const {
  const std::vector<double> values = all(name, counter);
  return values.empty() ? std::nullopt : std::optional(values.front());
}

bool Rows::has_errors() const {
  for (const Json& row : rows_) {
    if (row.value("error_occurred", false)) return true;
  }
  return false;
}

std::vector<std::string> Rows::refusals() const {
  std::vector<std::string> found;
  for (const Json& row : rows_) {
    if (!row.contains("refused") || row.value("process", 1) != 1) continue;
    const std::string full = row.value("name", "");
    found.push_back(full.substr(0, full.find("/iterations:")) + ": " + row.value("label", ""));
  }
  return found;
}

std::string figure_name(const std::string& name) {
  std::string figure = name;
  std::replace(figure.begin(), figure.end(), '/', '_');
  return figure;
}

std::optional<double> ratio(std::optional<double> numerator, std::optional<double> denominator) {
  if (!numerator || !denominator) return std::nullopt;
  return *numerator / *denominator;
}

std::optional<double> difference(std::optional<double> left, std::optional<double> right) {
  if (!left || !right) return std::nullopt;
  return *left - *right;
}

}  // namespace polyattn::bench
