#include "smoothing/reports.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <cmath>

namespace polyattn::cli {

namespace {

/// Largest element of a float64 tensor; 0 of an empty one.
double largest(const Tensor& tensor) {
  double most = 0.0;
  for (std::int64_t k = 0; k < tensor.elements(); ++k) {
    const double value = tensor.as<double>()[k];
    if (!(value <= most)) most = value;  // NaN too
  }
  return most;
}

std::string engine_of(const HeadReport& head) {
  return fmt::format("{} {}", name_of(head.engine), name_of(head.arithmetic));
}

Json left_out_json(const Table& table) {
  Json json{{"rows", 0}, {"missing", Json::object()}};
  if (!table.table) return json;
  json["rows"] = table.table->dropped;
  for (std::size_t k = 0; k < table.table->columns.size(); ++k) {
    json["missing"][table.table->columns[k]] = table.table->missing[k];
  }
  return json;
}

Json selection_json(const BandwidthResult& search) {
  Json json{{"best", search.best},       {"certain", search.certain},       {"scott", search.scott},
            {"seconds", search.seconds}, {"peak_bytes", search.peak_bytes}, {"scores", Json::array()}};
  for (const BandwidthScore& score : search.scores) {
    json["scores"].push_back({{"bandwidth", score.bandwidth},
                              {"factor", score.factor},
                              {"error", score.error},
                              {"error_bound", score.error_bound},
                              {"variance", score.residuals.variance},
                              {"variance_bound", score.residuals.variance_bound},
                              {"scored", score.residuals.scored},
                              {"unscored", score.residuals.unscored},
                              {"engine", name_of(score.report.engine)},
                              {"arithmetic", name_of(score.report.arithmetic)},
                              {"bound", score.report.certificate.bound()},
                              {"seconds", score.report.seconds}});
  }
  return json;
}

const char* rule_words(const std::string& rule) {
  return rule == "cv" ? " (least leave-one-out error)" : rule == "scott" ? " (Scott's rule)" : "";
}

std::string by_axis(const std::vector<double>& bandwidth, const std::vector<std::string>& axes) {
  if (bandwidth.size() == 1) return fmt::format("{:.6g}", bandwidth[0]);
  std::string text;
  for (std::size_t l = 0; l < bandwidth.size(); ++l) {
    text += fmt::format("{}{} {:.6g}", l == 0 ? "" : ", ", axes[l], bandwidth[l]);
  }
  return text;
}

}  // namespace

std::string input_words(const Tables& tables, const ChosenBandwidth& chosen) {
  const Table& points = tables.points;
  std::string text =
      fmt::format("{} points in {} dimension{}", points.rows(), points.dim(), points.dim() == 1 ? "" : "s");
  if (const std::string dropped = dropped_words(points); !dropped.empty()) text += "; " + dropped;
  text += "\n";
  if (tables.queries) {
    text += fmt::format("{} queries", tables.queries->rows());
    if (const std::string dropped = dropped_words(*tables.queries); !dropped.empty()) text += "; " + dropped;
    text += "\n";
  }
  if (chosen.search) text += curve_words(*chosen.search, points.columns);
  return text + fmt::format("bandwidth: {}{}\n", by_axis(chosen.bandwidth, points.columns), rule_words(chosen.rule));
}

void add_inputs(Json& json, const Tables& tables, const Places& places, const ChosenBandwidth& chosen) {
  json["points"] = tables.points.rows();
  json["dim"] = tables.points.dim();
  json["axes"] = tables.points.columns;
  json["queries"] = places.rows();
  json["left_out"] = left_out_json(tables.points);
  if (tables.queries) json["queries_left_out"] = left_out_json(*tables.queries);
  json["bandwidth"] = chosen.bandwidth;
  json["bandwidth_rule"] = chosen.rule;
  if (chosen.search) json["selection"] = selection_json(*chosen.search);
  if (places.grid) {
    Json low = Json::array();
    Json high = Json::array();
    for (const auto& axis : places.grid->axes) {
      low.push_back(axis.front());
      high.push_back(axis.back());
    }
    json["grid"] = {{"counts", places.grid->dims()}, {"low", low}, {"high", high}};
  }
}

std::string curve_words(const BandwidthResult& search, const std::vector<std::string>& axes) {
  std::string text;
  if (!search.scott.empty()) {
    text += fmt::format("Scott's rule: {}; bandwidths tried are its multiples\n", by_axis(search.scott, axes));
  }
  // Where axes have factors of their own there is no single one to show.
  const bool factors = std::ranges::none_of(search.scores, [](const auto& score) { return std::isnan(score.factor); });
  text += fmt::format("  {:>10}  {:>14}  {:>9}  {:>10}  {:>9}  {}\n", "multiple", "error", "+-", "scored", "seconds",
                      factors ? "engine" : "bandwidth");
  for (std::size_t k = 0; k < search.scores.size(); ++k) {
    const BandwidthScore& score = search.scores[k];
    const std::string factor = std::isnan(score.factor) ? "" : fmt::format("{:.5g}", score.factor);
    text += fmt::format("{} {:>10}  {:>14.8g}  {:>9.2g}  {:>10}  {:>9.3g}  {}\n", k == search.best ? '*' : ' ', factor,
                        score.error, score.error_bound, score.residuals.scored, score.report.seconds,
                        factors ? engine_of(score.report) : by_axis(score.bandwidth, axes));
  }
  return text + fmt::format(
                    "{} bandwidths in {:.3g} s; the error is the mean square of leaving one out, +- its proved "
                    "bound; the best is {}\n",
                    search.scores.size(), search.seconds,
                    search.certain ? "proved to be the best of these" : "the best as computed, not proved to be");
}

std::string words(const SmoothResult& result, const std::vector<std::string>& columns) {
  std::string text;
  if (result.blind > 0) text += fmt::format("{} queries see no point: their answer is 0\n", result.blind);
  if (!result.standard_error) return text;
  const LeaveOneOut& residuals = result.residuals.value();
  text += "noise, from leaving one out:";
  for (std::size_t c = 0; c < residuals.variance.size(); ++c) {
    text += fmt::format("{} {} {:.6g}", c == 0 ? "" : ",", columns[c], std::sqrt(residuals.variance[c]));
  }
  text += fmt::format(" (standard deviation over {} points{})\n", residuals.scored,
                      residuals.unscored == 0 ? "" : fmt::format("; {} see no other", residuals.unscored));
  return text + fmt::format("standard errors are within {:.3g} of those of exact arithmetic\n",
                            largest(result.standard_error_bounds.value()));
}

void add_result(Json& json, const SmoothResult& result) {
  json["blind"] = result.blind;
  if (result.residuals) {
    const LeaveOneOut& residuals = *result.residuals;
    json["residuals"] = {{"variance", residuals.variance},
                         {"variance_bound", residuals.variance_bound},
                         {"scored", residuals.scored},
                         {"unscored", residuals.unscored}};
  }
  if (result.standard_error_bounds) json["standard_error_bound"] = largest(*result.standard_error_bounds);
  json["seconds"] = result.seconds;
  json["peak_bytes"] = result.peak_bytes;
}

std::string words(const DensityResult& result, const DensityOptions& options) {
  const char* kind = options.log                                            ? ", of the logarithm"
                     : options.tolerance_kind == DensityTolerance::of_peak  ? " from the peak"
                     : options.tolerance_kind == DensityTolerance::relative ? ", relative"
                                                                            : "";
  std::string text;
  for (const HeadReport& head : result.report.heads) {
    text += fmt::format("{}{}; {}\n", engine_of(head),
                        head.degree >= 0 ? fmt::format(", degree {}, rank {}", head.degree, head.rank) : "", head.why);
    text += fmt::format("rows: {}", head.rows_total);
    for (const auto& [name, count] : {std::pair{"polynomial", head.rows_polynomial},
                                      {"grid", head.rows_grid},
                                      {"exact", head.rows_exact},
                                      {"reference", head.rows_reference}}) {
      if (count > 0) text += fmt::format(", {} {}", name, count);
    }
    text += "\n";
  }
  return text + fmt::format(
                    "certified |error| <= {:.4g}; tolerance {:.4g}{}\n"
                    "total {:.3g} s, {} threads, {}, peak memory {:.3g} MB\n",
                    result.largest_bound, result.tolerance, kind, result.seconds, result.report.threads,
                    result.report.instruction_set, 1e-6 * static_cast<double>(result.peak_bytes));
}

void add_result(Json& json, const DensityResult& result, const DensityOptions& options) {
  json["log"] = options.log;
  json["tolerance"] = result.tolerance;
  json["tolerance_kind"] = options.log                                            ? "log"
                           : options.tolerance_kind == DensityTolerance::of_peak  ? "of_peak"
                           : options.tolerance_kind == DensityTolerance::relative ? "relative"
                                                                                  : "absolute";
  json["bound"] = result.largest_bound;
  json["log_normaliser"] = result.log_normaliser;
  json["seconds"] = result.seconds;
  json["peak_bytes"] = result.peak_bytes;
}

}  // namespace polyattn::cli
