#include "lab/threshold/report.hpp"

#include "lab/threshold/phase_diagram.hpp"
#include "lab/threshold/plot.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>
#include <vector>

namespace polyattn::lab {

namespace {

std::string table(const std::vector<std::string>& heads, const std::vector<std::vector<std::string>>& rows) {
  std::string text = "<table>\n<tr>";
  for (const std::string& head : heads) text += "<th>" + escaped(head) + "</th>";
  text += "</tr>\n";
  for (const auto& row : rows) {
    text += "<tr>";
    for (const std::string& cell : row) text += "<td>" + escaped(cell) + "</td>";
    text += "</tr>\n";
  }
  return text + "</table>\n";
}

std::string short_text(double value) { return std::isnan(value) ? "" : fmt::format("{:.4g}", value); }
std::string known(std::int64_t value) { return value < 0 ? "" : std::to_string(value); }

std::string crossing_table(const Summary& summary) {
  std::vector<std::vector<std::string>> rows;
  for (const SummaryRow& row : summary.rows) {
    const Crossing& p = row.predicted;
    const bool crossed = p.outcome == Outcome::crossed;
    rows.push_back({std::to_string(row.n), std::to_string(row.dim), short_text(row.tolerance),
                    crossed ? fmt::format("{:.4g} ({:.4g} to {:.4g})", p.entries(), p.low, p.high) : name_of(p.outcome),
                    !crossed    ? ""
                    : p.by_cost ? "polynomials cost more"
                                : "too few rows served",
                    short_text(row.measured.entries()),
                    fmt::format("{:.4g} (g = {})", row.ours.entries, row.ours.degree),
                    fmt::format("{:.4g} (g = {})", row.papers.entries, row.papers.degree)});
  }
  return table(
      {"n", "d", "tolerance", "B*", "lost because", "B* measured", "theory, C(d+g, g)", "theory, papers' rank"}, rows);
}

std::string far_table(const Summary& summary) {
  std::vector<std::vector<std::string>> rows;
  for (const FarRow& row : summary.far) {
    rows.push_back({fmt::format("2^{:g}", row.log2_n), fmt::format("{:g}", row.ours.dim),
                    fmt::format("{:.4g} (g = {})", row.ours.entries, row.ours.degree),
                    fmt::format("{:.4g} (g = {})", row.papers.entries, row.papers.degree)});
  }
  return table({"n", "d", "C(d+g, g)", "papers' rank"}, rows);
}

std::string degree_table_html(const Summary& summary) {
  std::vector<std::vector<std::string>> rows;
  rows.reserve(summary.degrees.size());
  for (const DegreeRow& row : summary.degrees) {
    rows.push_back({fmt::format("{:g}", row.length), fmt::format("{:.0e}", row.tolerance), std::to_string(row.degree),
                    short_text(row.formula), fmt::format("{:.3f}", row.ratio())});
  }
  return table({"B", "eps", "least degree", "formula", "ratio"}, rows);
}

std::string points_table(std::span<const Point> points) {
  std::vector<std::reference_wrapper<const Point>> sorted(points.begin(), points.end());
  std::ranges::sort(sorted, {}, [](const Point& p) { return std::pair(p.n, p.entries); });
  std::vector<std::vector<std::string>> rows;
  rows.reserve(sorted.size());
  for (const Point& p : sorted) {
    rows.push_back({std::to_string(p.n), short_text(p.entries), short_text(p.score_bound), known(p.theory_degree),
                    p.papers_rank, p.rank_same_degree, short_text(p.radius), known(p.degree), known(p.rank),
                    p.arithmetic, short_text(p.left_to_exact), short_text(p.mean_answer / p.tolerance),
                    short_text(p.polynomial_seconds), short_text(p.exact_seconds), short_text(p.polynomial_measured),
                    short_text(p.exact_measured)});
  }
  return table(
      {"n", "B", "B^k", "theory g", "papers' rank", "C(d+g, g)", "radius", "g", "rank", "arithmetic", "left to exact",
       "mean(V) / tolerance", "polynomial s", "exact s", "polynomial s, measured", "exact s, measured"},
      rows);
}

std::string head_of(const Settings& s) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<title>The threshold, order {}</title>\n"
      "<style>body {{ font-family: sans-serif; max-width: 64em; margin: 2em auto; }} table {{ border-collapse: "
      "collapse; "
      "font-size: 85%; }} td, th {{ border: 1px solid #ccc; padding: 2px 6px; text-align: right; }}</style>\n</head>\n"
      "<body>\n<h1>The threshold, order {}</h1>\n",
      s.order, s.order);
}

std::string setting_of(const Settings& s) {
  return fmt::format(
      "<p>n queries and n keys in each of {} set{}, d = ceil({:g} log2 n) dimensions, entries uniform in [-B, B], "
      "scores "
      "sum_l q_l k1_l .../d, so at most B^{} in magnitude; the keys stand in for the values; error at most n^-{:g} of "
      "the "
      "value range, certified. Seconds are predictions of plan ({} speeds, {} thread{}) unless they are called "
      "measured; rows that polynomials leave to exact are counted, and polynomials serve where that is at most half of "
      "them. Seed {}.</p>\n",
      s.order - 1, s.order == 2 ? "" : "s", s.dims_per_log, s.order, s.accuracy, escaped(s.speeds), s.threads,
      s.threads == 1 ? "" : "s", s.seed);
}

}  // namespace

std::string report_html(const Summary& summary, std::span<const Point> points) {
  const int k = summary.settings.order;
  const RatioRange ratio = ratio_range(summary.degrees);
  const auto paragraph = [](const std::string& text) { return "<p>" + escaped(text) + "</p>\n"; };
  return head_of(summary.settings) + setting_of(summary.settings) + phase_svg(summary, points) +
         "<h2>Where polynomials stop being cheaper</h2>\n" + crossing_table(summary) +
         paragraph("Predicted: " + words(summary.predicted, k) + ".") +
         (summary.measured.points > 0 ? paragraph("Measured: " + words(summary.measured, k) + ".") : "") +
         paragraph("By rank alone, C(d+g, g), over the same n: " + words(summary.ours, k) + ".") +
         paragraph("By the papers' rank over the same n: " + words(summary.papers, k) + ".") +
         "<h2>The theory far beyond</h2>\n" +
         paragraph(
             fmt::format("The B at which the rank for relative error n^-{:g} on [-B^{}, B^{}] reaches n^{}. No data, "
                         "so n may be any number.",
                         summary.settings.accuracy, k, k, k - 1)) +
         far_table(summary) + paragraph("C(d+g, g), upper half of the table: " + words(summary.far_ours, k) + ".") +
         paragraph("Papers' rank, upper half: " + words(summary.far_papers, k) + ".") +
         "<h2>Degree against the formula of Lemma 2.1</h2>\n" +
         paragraph(
             fmt::format("exp on [0, B] to within eps needs degree Theta(max{{B, ln(1/eps)/ln(ln(1/eps)/B)}}). The "
                         "quotient is infinite at B = ln(1/eps), so its logarithm is taken of at least e. Ratios lie "
                         "between {:.3g} and {:.3g}.",
                         ratio.low, ratio.high)) +
         degree_svg(summary) + degree_table_html(summary) + "<h2>All points</h2>\n" + points_table(points) +
         "</body>\n</html>\n";
}

}  // namespace polyattn::lab
