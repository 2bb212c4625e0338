#include "lab/threshold/csv.hpp"

#include "polyattn/error.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>

namespace polyattn::lab {

namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::invalid_argument, message); }

std::string integer_text(std::int64_t value) { return value < 0 ? "" : std::to_string(value); }

/// Field -> number. Empty is `absent`.
template <class Number>
bool read(std::string_view text, Number absent, Number& value) {
  if (text.empty()) {
    value = absent;
    return true;
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

/// A column of a point: how it is written and read.
struct Column {
  const char* name;
  std::string (*write)(const Point&);
  bool (*read)(std::string_view, Point&);
};

template <auto Member>
constexpr Column column(const char* name) {
  using Field = std::remove_cvref_t<decltype(std::declval<Point>().*Member)>;
  if constexpr (std::is_same_v<Field, std::string>) {
    return {name, [](const Point& p) { return p.*Member; },
            [](std::string_view text, Point& p) {
              p.*Member = text;
              return true;
            }};
  } else if constexpr (std::is_same_v<Field, double>) {
    return {name, [](const Point& p) { return number_text(p.*Member); },
            [](std::string_view text, Point& p) { return read(text, kAbsent, p.*Member); }};
  } else {
    return {name, [](const Point& p) { return integer_text(p.*Member); },
            [](std::string_view text, Point& p) { return read(text, Field{-1}, p.*Member); }};
  }
}

constexpr std::array kColumns{
    column<&Point::n>("n"),
    column<&Point::dim>("d"),
    column<&Point::tolerance>("tolerance"),
    column<&Point::entries>("entries"),
    column<&Point::score_bound>("score_bound"),
    column<&Point::theory_degree>("theory_degree"),
    column<&Point::papers_rank>("papers_rank"),
    column<&Point::rank_same_degree>("rank_same_degree"),
    column<&Point::radius>("radius"),
    column<&Point::degree>("degree"),
    column<&Point::rank>("rank"),
    column<&Point::arithmetic>("arithmetic"),
    column<&Point::bound>("bound"),
    column<&Point::left_to_exact>("left_to_exact"),
    column<&Point::mean_answer>("mean_answer"),
    column<&Point::polynomial_seconds>("polynomial_seconds"),
    column<&Point::exact_seconds>("exact_seconds"),
    column<&Point::polynomial_measured>("polynomial_measured"),
    column<&Point::exact_measured>("exact_measured"),
    column<&Point::exact_rows>("exact_rows"),
};

using Fields = std::vector<std::pair<const char*, std::string>>;

Fields fields_of(const Settings& settings) {
  return {{"order", std::to_string(settings.order)},     {"dims_per_log2_n", number_text(settings.dims_per_log)},
          {"accuracy", number_text(settings.accuracy)},  {"seed", std::to_string(settings.seed)},
          {"threads", std::to_string(settings.threads)}, {"speeds", settings.speeds}};
}

std::string header_of(const Fields& settings) {
  std::string line;
  for (const auto& [name, value] : settings) line += std::string(name) + ",";
  for (const Column& one : kColumns) line += std::string(one.name) + ",";
  return line + "cheaper";
}

/// Takes everything before the next separator off the front of `text`.
std::string_view take(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view head = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  return head;
}

Point read_line(const std::string& where, std::string_view line, const Fields& settings) {
  if (std::ranges::count(line, ',') != static_cast<std::ptrdiff_t>(settings.size() + kColumns.size())) {
    refuse(where + ": expected " + std::to_string(settings.size() + kColumns.size() + 1) + " fields");
  }
  for (const auto& [name, value] : settings) {
    const std::string_view given = take(line, ',');
    if (given != value) {
      refuse(where + ": made with " + name + " = " + std::string(given) + ", not " + value +
             "; continue with the same settings, or write elsewhere");
    }
  }
  Point point;
  for (const Column& one : kColumns) {
    const std::string_view field = take(line, ',');
    if (!one.read(field, point))
      refuse(where + ": " + one.name + ": expected a number, got '" + std::string(field) + "'");
  }
  if (point.n < 2 || !(point.entries > 0.0)) refuse(where + ": expected n of at least 2 and positive entries");
  return point;
}

const char* cheaper(const Point& point) { return point.predicted_ratio() < 1.0 ? "polynomial" : "exact"; }

}  // namespace

std::string number_text(double value) {
  if (std::isnan(value)) return "";
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  return {digits.data(), end};
}

std::string points_csv(const Settings& settings, std::span<const Point> points) {
  std::vector<std::reference_wrapper<const Point>> sorted(points.begin(), points.end());
  std::ranges::sort(sorted, {}, [](const Point& p) { return std::pair(p.n, p.entries); });
  const Fields given = fields_of(settings);
  std::string text = header_of(given) + "\n";
  for (const Point& point : sorted) {
    for (const auto& [name, value] : given) text += value + ",";
    for (const Column& one : kColumns) text += one.write(point) + ",";
    text += std::string(cheaper(point)) + "\n";
  }
  return text;
}

std::vector<Point> read_points(const std::string& name, std::string_view text, const Settings& settings) {
  const Fields given = fields_of(settings);
  std::vector<Point> points;
  if (take(text, '\n') != header_of(given)) {
    refuse(name + ":1: expected the columns of a threshold study of this version; remove it or write elsewhere");
  }
  for (int line = 2; !text.empty(); ++line) {
    points.push_back(read_line(name + ":" + std::to_string(line), take(text, '\n'), given));
  }
  return points;
}

}  // namespace polyattn::lab
