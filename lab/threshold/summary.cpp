#include "lab/threshold/summary.hpp"

#include "lab/threshold/csv.hpp"

#include <fmt/core.h>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace polyattn::lab {

namespace {

template <class Row, class Entries>
Fit fit_of(std::span<const Row> rows, const Entries& entries) {
  std::vector<Threshold> thresholds;
  for (const Row& row : rows) {
    const Threshold t = entries(row);
    if (t.entries > 0.0) thresholds.push_back(t);  // NaN is not
  }
  return fit_power(thresholds);
}

double log_n(const SummaryRow& row) { return std::log(static_cast<double>(row.n)); }
double log_n(const FarRow& row) { return row.log2_n * std::numbers::ln2; }

std::vector<FarRow> far_rows(const Settings& settings) {
  std::vector<FarRow> rows;
  for (const double log2_n : {10.0, 14.0, 20.0, 28.0, 40.0, 56.0, 80.0, 112.0, 160.0, 224.0, 320.0, 448.0, 640.0}) {
    const auto threshold = [&](Count count) {
      return theory_threshold(count, settings.order, settings.dims_per_log, settings.accuracy, log2_n);
    };
    rows.push_back({log2_n, threshold(Count::ours), threshold(Count::papers)});
  }
  return rows;
}

SummaryRow row_of(const Settings& settings, std::int64_t n, std::span<const Point> points) {
  const double log2_n = std::log2(static_cast<double>(n));
  SummaryRow row;
  row.n = n;
  row.dim = dimensions(settings.dims_per_log, n);
  row.tolerance = tolerance_of(settings.accuracy, n);
  row.predicted = predicted_crossing(n, points);
  row.measured = measured_crossing(n, points);
  row.ours = theory_threshold(Count::ours, settings.order, settings.dims_per_log, settings.accuracy, log2_n);
  row.papers = theory_threshold(Count::papers, settings.order, settings.dims_per_log, settings.accuracy, log2_n);
  return row;
}

std::string crossing_text(const Crossing& crossing) {
  if (crossing.outcome == Outcome::crossed) return fmt::format("{:.4g}", crossing.entries());
  return crossing.outcome == Outcome::unknown ? "-" : name_of(crossing.outcome);
}

}  // namespace

Summary summarise(const Settings& settings, std::span<const Point> points) {
  Summary summary;
  summary.settings = settings;
  for (const std::int64_t n : lengths_of(points)) summary.rows.push_back(row_of(settings, n, points));
  const std::span<const SummaryRow> rows(summary.rows);
  std::vector<Threshold> predicted;
  for (const SummaryRow& row : rows) {
    if (row.predicted.outcome == Outcome::crossed) predicted.push_back({log_n(row), row.predicted.entries()});
  }
  summary.predicted = fit_power(predicted);
  summary.constant = theory_constant(predicted, settings.order);
  summary.measured = fit_of(rows, [](const SummaryRow& r) { return Threshold{log_n(r), r.measured.entries()}; });
  summary.ours = fit_of(rows, [](const SummaryRow& r) { return Threshold{log_n(r), r.ours.entries}; });
  summary.papers = fit_of(rows, [](const SummaryRow& r) { return Threshold{log_n(r), r.papers.entries}; });
  summary.far = far_rows(settings);
  const std::span<const FarRow> upper = std::span<const FarRow>(summary.far).subspan(summary.far.size() / 2);
  summary.far_ours = fit_of(upper, [](const FarRow& r) { return Threshold{log_n(r), r.ours.entries}; });
  summary.far_papers = fit_of(upper, [](const FarRow& r) { return Threshold{log_n(r), r.papers.entries}; });
  summary.degrees = degree_table();
  return summary;
}

std::string words(const Summary& summary) {
  const Settings& s = summary.settings;
  std::string text = fmt::format(
      "order {}, d = ceil({:g} log2 n), tolerance n^-{:g} of the value range, {} thread{}\n"
      "{:>9} {:>4} {:>10} {:>10} {:>10} {:>16} {:>16}\n",
      s.order, s.dims_per_log, s.accuracy, s.threads, s.threads == 1 ? "" : "s", "n", "d", "tolerance", "B*",
      "measured", "C(d+g,g)=n^(k-1)", "papers' rank");
  for (const SummaryRow& row : summary.rows) {
    text +=
        fmt::format("{:>9} {:>4} {:>10.3g} {:>10} {:>10} {:>16.4g} {:>16.4g}\n", row.n, row.dim, row.tolerance,
                    crossing_text(row.predicted), crossing_text(row.measured), row.ours.entries, row.papers.entries);
  }
  text += "predicted: " + words(summary.predicted, s.order) + "\n";
  if (summary.measured.points > 0) text += "measured: " + words(summary.measured, s.order) + "\n";
  text += "rank alone, the same n: " + words(summary.ours, s.order) + "\n";
  text += "rank alone, n = 2^80 to 2^640: " + words(summary.far_ours, s.order) + "\n";
  const RatioRange ratio = ratio_range(summary.degrees);
  return text + fmt::format("least degree over the formula of Lemma 2.1: {:.3g} to {:.3g}\n", ratio.low, ratio.high);
}

std::string crossings_csv(const Summary& summary) {
  std::string text =
      "order,n,d,tolerance,outcome,entries,low,high,last_cheaper,lost_by,measured_outcome,measured_entries,"
      "measured_low,measured_high,rank_entries,rank_degree,papers_entries,papers_degree,log_n_root\n";
  for (const SummaryRow& row : summary.rows) {
    const Crossing& p = row.predicted;
    const Crossing& m = row.measured;
    const char* lost = p.outcome != Outcome::crossed ? "" : p.by_cost ? "cost" : "too few rows";
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", summary.settings.order, row.n,
                        row.dim, number_text(row.tolerance), name_of(p.outcome), number_text(p.entries()),
                        number_text(p.low), number_text(p.high), number_text(p.last_cheaper), lost, name_of(m.outcome),
                        number_text(m.entries()), number_text(m.low), number_text(m.high),
                        number_text(row.ours.entries), row.ours.degree, number_text(row.papers.entries),
                        row.papers.degree, number_text(std::pow(log_n(row), 1.0 / summary.settings.order)));
  }
  return text;
}

std::string degrees_csv(const Summary& summary) {
  std::string text = "length,tolerance,degree,formula,ratio\n";
  for (const DegreeRow& row : summary.degrees) {
    text += fmt::format("{},{},{},{},{}\n", number_text(row.length), number_text(row.tolerance), row.degree,
                        number_text(row.formula), number_text(row.ratio()));
  }
  return text;
}

}  // namespace polyattn::lab
