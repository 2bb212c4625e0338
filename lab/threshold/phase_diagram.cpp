#include "lab/threshold/phase_diagram.hpp"

#include "lab/threshold/plot.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

namespace polyattn::lab {

namespace {

using Curve = std::vector<std::pair<double, double>>;

/// Polynomials by rank, a colour for each power of ten.
constexpr std::array kRankColours{"#deebf7", "#c6dbef", "#9ecae1", "#6baed6",
                                  "#4292c6", "#2171b5", "#08519c", "#08306b"};
constexpr const char* kExactCosts = "#fdd0a2";  // polynomials would serve, at a higher cost
constexpr const char* kExactOnly = "#e6550d";   // none serves half of the rows
constexpr const char* kBlack = "#000";
constexpr const char* kRed = "#d62728";
constexpr const char* kGreen = "#2ca02c";
constexpr const char* kPurple = "#9467bd";

std::size_t rank_class(std::int64_t rank) {
  return std::min(static_cast<std::size_t>(std::log10(static_cast<double>(std::max<std::int64_t>(rank, 1)))),
                  kRankColours.size() - 1);
}

std::string fill_of(const Point& point) {
  if (!point.served()) return kExactOnly;
  return point.predicted_ratio() < 1.0 ? kRankColours[rank_class(point.rank)] : kExactCosts;
}

std::string tip_of(const Point& p) {
  std::string text = fmt::format("n = {}, d = {}, B = {:g}: ", p.n, p.dim, p.entries);
  if (p.served()) {
    text += fmt::format("degree {}, rank {}, {}, {:.3g} s", p.degree, p.rank, p.arithmetic, p.polynomial_seconds);
  } else {
    text += "polynomials serve too few rows";
  }
  text += fmt::format(" against {:.3g} s exact; theory: degree {}", p.exact_seconds, p.theory_degree);
  if (!std::isnan(p.measured_ratio())) {
    text += fmt::format("; measured {:.3g} s against {:.3g} s", p.polynomial_measured, p.exact_measured);
  }
  return text;
}

/// One cell for each point, reaching half way (in ratio) to its neighbours.
void draw_column(Plot& plot, std::vector<Point> column) {
  std::ranges::sort(column, {}, &Point::entries);
  for (std::size_t i = 0; i < column.size(); ++i) {
    const Point& point = column[i];
    const double below = i > 0 ? std::sqrt(point.entries * column[i - 1].entries) : point.entries / 1.05;
    const double above =
        i + 1 < column.size() ? std::sqrt(point.entries * column[i + 1].entries) : point.entries * 1.05;
    const double x = std::log2(static_cast<double>(point.n));
    plot.rectangle(x - 0.5, below, x + 0.5, above, fill_of(point), tip_of(point));
    if (point.trivial()) plot.rectangle(x - 0.5, below, x + 0.5, above, plot.strokes());
  }
}

template <class Entries>
Curve curve_of(const Summary& summary, const Entries& entries) {
  Curve curve;
  for (const SummaryRow& row : summary.rows) {
    const double value = entries(row);
    curve.emplace_back(std::log2(static_cast<double>(row.n)), value > 0.0 ? value : kAbsent);
  }
  return curve;
}

Curve power_curve(double constant, double exponent, double low, double high) {
  Curve curve;
  for (int i = 0; i <= 60; ++i) {
    const double log2_n = low + (high - low) * i / 60.0;
    curve.emplace_back(log2_n, constant * std::pow(log2_n * std::log(2.0), exponent));
  }
  return curve;
}

void add_legend(Plot& plot, const Summary& summary, std::span<const Point> points) {
  const int k = summary.settings.order;
  plot.legend_line("B*: polynomials stop being cheaper", kBlack);
  if (summary.measured.points > 0) plot.legend_line("B* as measured", kGreen);
  if (!std::isnan(summary.constant)) {
    plot.legend_line(fmt::format("{:.3g} (log n)^(1/{})", summary.constant, k), kRed, "7 4");
  }
  const std::string limit = k == 2 ? "n" : fmt::format("n^{}", k - 1);
  plot.legend_line("theory: C(d+g, g) = " + limit, kPurple, "2 3");
  plot.legend_line(fmt::format("theory: C({0}(d+g), {0}g) = {1}", k, limit), kPurple, "9 3 2 3");
  std::array<bool, kRankColours.size()> seen{};
  for (const Point& point : points) {
    if (point.served() && point.predicted_ratio() < 1.0) seen[rank_class(point.rank)] = true;
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (seen[i]) plot.legend_box(fmt::format("polynomials, rank from 10^{}", i), kRankColours[i]);
  }
  plot.legend_box("exact: polynomials cost more", kExactCosts);
  plot.legend_box("exact: polynomials serve too few rows", kExactOnly);
  plot.legend_box("the constant mean(V) would do", plot.strokes());
}

}  // namespace

std::string phase_svg(const Summary& summary, std::span<const Point> points) {
  const Settings& s = summary.settings;
  const std::vector<std::int64_t> lengths = lengths_of(points);
  Axis x{"n, queries and keys of each set", 0.5, 1.5, false, {}};
  Axis y{"B, largest entry", 1.0, 2.0, true, {}};
  if (!lengths.empty()) {
    x.low = std::log2(static_cast<double>(lengths.front())) - 0.5;
    x.high = std::log2(static_cast<double>(lengths.back())) + 0.5;
    const auto [least, most] = std::ranges::minmax(points, {}, &Point::entries);
    y.low = least.entries / 1.05;
    y.high = most.entries * 1.05;
  }
  for (const std::int64_t n : lengths) {
    const double log2_n = std::log2(static_cast<double>(n));
    x.ticks.emplace_back(log2_n, log2_n == std::round(log2_n) ? fmt::format("2^{:g}", log2_n) : std::to_string(n));
  }
  y.ticks = decimal_ticks(y.low, y.high);
  Plot plot("phase",
            fmt::format("Order {}: d = ceil({:g} log2 n), tolerance n^-{:g} of the value range", s.order,
                        s.dims_per_log, s.accuracy),
            x, y);
  for (const std::int64_t n : lengths) {
    std::vector<Point> column;
    std::ranges::copy_if(points, std::back_inserter(column), [&](const Point& p) { return p.n == n; });
    draw_column(plot, std::move(column));
  }
  if (!std::isnan(summary.constant))
    plot.line(power_curve(summary.constant, 1.0 / s.order, x.low, x.high), kRed, "7 4");
  plot.line(curve_of(summary, [](const SummaryRow& r) { return r.ours.entries; }), kPurple, "2 3");
  plot.line(curve_of(summary, [](const SummaryRow& r) { return r.papers.entries; }), kPurple, "9 3 2 3");
  for (const auto& [entries, colour] :
       {std::pair(curve_of(summary, [](const SummaryRow& r) { return r.predicted.entries(); }), kBlack),
        std::pair(curve_of(summary, [](const SummaryRow& r) { return r.measured.entries(); }), kGreen)}) {
    plot.line(entries, colour);
    for (const auto& [log2_n, b] : entries) plot.dot(log2_n, b, colour, fmt::format("B* = {:.4g}", b));
  }
  add_legend(plot, summary, points);
  return plot.svg();
}

std::string degree_svg(const Summary& summary) {
  constexpr std::array colours{"#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#17becf"};
  double high = 2.0;
  for (const DegreeRow& row : summary.degrees) high = std::max({high, row.formula, static_cast<double>(row.degree)});
  Axis x{"max{B, ln(1/eps) / ln(max(e, ln(1/eps)/B))}", 1.0, high * 1.2, true, decimal_ticks(1.0, high * 1.2)};
  Axis y{"least degree for exp on [0, B] to within eps", 1.0, high * 1.2, true, decimal_ticks(1.0, high * 1.2)};
  Plot plot("degree", "Least degree against the formula of Lemma 2.1", x, y);
  plot.line({{1.0, 1.0}, {high, high}}, "#888", "4 4");
  plot.legend_line("degree = formula", "#888", "4 4");
  std::vector<double> tolerances;
  for (const DegreeRow& row : summary.degrees) {
    auto found = std::ranges::find(tolerances, row.tolerance);
    const auto index = static_cast<std::size_t>(found - tolerances.begin());
    const char* colour = colours[index % colours.size()];
    if (found == tolerances.end()) {
      tolerances.push_back(row.tolerance);
      plot.legend_box(fmt::format("eps = {:.0e}", row.tolerance), colour);
    }
    plot.dot(row.formula, row.degree, colour,
             fmt::format("B = {:g}, eps = {:g}: degree {}, formula {:.4g}", row.length, row.tolerance, row.degree,
                         row.formula));
  }
  return plot.svg();
}

}  // namespace polyattn::lab
