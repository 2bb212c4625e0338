// polyattn lab threshold: where polynomials stop being cheaper than exact attention as entries grow, for n after n,
// beside what the theorems say.

#include "calibration.hpp"
#include "command.hpp"
#include "exit_codes.hpp"
#include "lab/commands.hpp"
#include "lab/threshold/csv.hpp"
#include "lab/threshold/phase_diagram.hpp"
#include "lab/threshold/report.hpp"
#include "lab/threshold/study.hpp"
#include "lab/threshold/summary.hpp"
#include "progress_bar.hpp"
#include "results.hpp"

#include <fmt/core.h>
#include <array>
#include <bit>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace polyattn::cli {

namespace {

struct ThresholdFlags {
  std::optional<std::string> order, lengths, dims, accuracy, entries, seed, threads, calibration, limit, output, json;
  bool measure = false;
  bool restart = false;
};

void declare(CLI::App& app, ThresholdFlags& flags) {
  text_flag(app, "--order", flags.order, "K", "2 (default), 3 or 4: K - 1 sets of keys");
  text_flag(app, "--n", flags.lengths, "FROM:TO",
            "Powers of two, e.g. 2^10:2^14 (default 2^10:2^20; order 3 2^10:2^13, order 4 2^10:2^14)");
  text_flag(app, "--dims", flags.dims, "C", "d = ceil(C log2 n) coordinates (default 0.5 at order 2, else 1)");
  text_flag(app, "--accuracy", flags.accuracy, "c",
            "The tolerance is n^-c of the value range (default 0.5 at order 2, else 1)");
  text_flag(app, "--entries", flags.entries, "LO:HI:STEPS",
            "Sweep of B, the largest entry, in equal ratios (default 0.5:4:19; order 3 0.5:3.5:18, order 4 0.5:3:16)");
  app.add_flag("--measure", flags.measure, "Also run both engines at every point");
  text_flag(app, "--measure-limit", flags.limit, "SECONDS",
            "Predicted time either may take at a point (default 2): polynomials beyond are not run, exact runs as many "
            "rows as fit and is scaled");
  text_flag(app, "--seed", flags.seed, "S", "Of the random entries (default 1)");
  text_flag(app, "--threads", flags.threads, "N", "Threads that times are for (default 1)");
  text_flag(app, "--calibration", flags.calibration, "WHAT", "Speeds that predictions use, as for attend");
  text_flag(app, "-o,--output", flags.output, "PREFIX",
            "PREFIX.csv (points; continued if it is there), PREFIX-crossing.csv, PREFIX-degree.csv, PREFIX.svg, "
            "PREFIX.html");
  app.add_flag("--restart", flags.restart, "Begin anew although PREFIX.csv is there");
  text_flag(app, "--json", flags.json, "FILE", "The crossings and fits as JSON; - for standard output");
  app.footer(
      "Entries are uniform in [-B, B], scores sum_l q_l k1_l ... / d, values the keys. An interrupt keeps what is "
      "done\n"
      "(exit code 130); the same command goes on. Larger C: ranks grow faster, and B* is smaller; below C of about "
      "0.3\n"
      "arithmetic is the limit, not cost.\n"
      "Examples:\n"
      "  polyattn lab threshold -o study\n"
      "  polyattn lab threshold --order 3 --n 2^8:2^12 --entries 0.5:3:16 -o study3\n"
      "  polyattn lab threshold --n 2^10:2^16 --measure --measure-limit 5 --threads 2 -o measured\n");
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, ':');) parts.push_back(part);
  return parts;
}

/// "2^10" or "1024", a power of two.
std::int64_t parse_power(const std::string& text, const std::string& part) {
  constexpr std::int64_t most_power = 24;
  const std::string expected = "powers of two from 2^3 to 2^24, as 2^10:2^14 or 1024:16384";
  std::int64_t value = 0;
  try {
    value = part.starts_with("2^") ? std::int64_t{1} << parse_integer("--n", part.substr(2), 0, most_power)
                                   : parse_integer("--n", part, 1, std::int64_t{1} << most_power);
  } catch (const UsageError&) {
    refuse_flag("--n", text, expected);
  }
  if (value < 8 || !std::has_single_bit(static_cast<std::uint64_t>(value))) refuse_flag("--n", text, expected);
  return value;
}

std::vector<std::int64_t> parse_lengths(const std::string& text) {
  const std::vector<std::string> parts = split(text);
  if (parts.empty() || parts.size() > 2) refuse_flag("--n", text, "FROM:TO");
  const std::int64_t first = parse_power(text, parts.front());
  const std::int64_t last = parse_power(text, parts.back());
  if (first > last) refuse_flag("--n", text, "FROM up to TO");
  std::vector<std::int64_t> lengths;
  for (std::int64_t n = first; n <= last; n *= 2) lengths.push_back(n);
  return lengths;
}

lab::Range parse_range(const std::string& text, int order) {
  const std::vector<std::string> parts = split(text);
  if (parts.size() != 3) refuse_flag("--entries", text, "LO:HI:STEPS, e.g. 0.5:4:19");
  lab::Range range;
  range.low = parse_real("--entries", parts[0]);
  range.high = parse_real("--entries", parts[1]);
  range.steps = static_cast<int>(parse_integer("--entries", parts[2], 2, 1000));
  constexpr double largest_score = 1e4;
  if (!(range.low > 0.0 && range.high > range.low && std::pow(range.high, order) <= largest_score)) {
    refuse_flag("--entries", text, fmt::format("0 < LO < HI and HI^{} at most {:g}", order, largest_score));
  }
  return range;
}

double parse_between(const std::string& flag, const std::string& text, double high) {
  const double value = parse_real(flag, text);
  if (!(value > 0.0 && value <= high)) refuse_flag(flag, text, fmt::format("a positive number up to {:g}", high));
  return value;
}

/// A name for a calibration: other speeds, other predictions, another study. FNV-1a over the numbers.
std::string name_of_speeds(const std::optional<Calibration>& calibration) {
  if (!calibration) return "own";
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const double speed :
       {calibration->float32_fma, calibration->float64_fma, calibration->memory_bytes, calibration->float32_exp,
        calibration->float64_exp, calibration->float32_polynomial, calibration->float64_polynomial}) {
    auto bits = std::bit_cast<std::uint64_t>(speed);
    for (int byte = 0; byte < 8; ++byte, bits >>= 8U) hash = (hash ^ (bits & 0xFFU)) * 0x100000001B3U;
  }
  return fmt::format("calibrated-{:016x}", hash);
}

struct ThresholdRequest {
  lab::StudyPlan plan;
  lab::Look look;
  std::string prefix;

  [[nodiscard]] std::string points() const { return prefix + ".csv"; }
};

ThresholdRequest request_of(const ThresholdFlags& flags) {
  if (!flags.output) throw UsageError("lab threshold needs -o PREFIX");
  if (flags.limit && !flags.measure) throw UsageError("--measure-limit needs --measure");
  ThresholdRequest request;
  request.prefix = *flags.output;
  lab::Settings& settings = request.plan.settings;
  settings.order = static_cast<int>(parse_integer("--order", flags.order.value_or("2"), 2, 4));
  const lab::Usual usual = lab::usual_study(settings.order);
  settings.dims_per_log = flags.dims ? parse_between("--dims", *flags.dims, 8.0) : usual.dims_per_log;
  settings.accuracy = flags.accuracy ? parse_between("--accuracy", *flags.accuracy, 2.0) : usual.accuracy;
  settings.seed = flags.seed ? parse_unsigned("--seed", *flags.seed) : settings.seed;
  settings.threads = static_cast<int>(parse_integer("--threads", flags.threads.value_or("1"), 1, 1024));
  request.look.calibration = calibration_of(flags.calibration);
  settings.speeds = name_of_speeds(request.look.calibration);
  if (flags.limit) request.look.limit = parse_between("--measure-limit", *flags.limit, 1e6);
  request.plan.lengths =
      parse_lengths(flags.lengths.value_or(fmt::format("2^{}:2^{}", usual.first_power, usual.last_power)));
  request.plan.range = flags.entries ? parse_range(*flags.entries, settings.order) : usual.range;
  request.plan.measure = flags.measure;
  return request;
}

/// What an earlier run left.
std::vector<lab::Point> points_before(const ThresholdRequest& request, bool restart) {
  const std::string path = request.points();
  if (restart || !std::filesystem::exists(path)) return {};
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file)
    throw Error(ErrorCode::invalid_argument, path + ": expected a study to continue, got a file that cannot be read");
  return lab::read_points(path, text.str(), request.plan.settings);
}

void save_points(const ThresholdRequest& request, const std::vector<lab::Point>& points) {
  const std::string text = lab::points_csv(request.plan.settings, points);
  io::StagedFile file(request.points());
  file.write(std::as_bytes(std::span(text)));
  file.finish();
  file.commit();  // whatever a signal says: a point that is done is kept
}

Json fit_json(const lab::Fit& fit) {
  return {{"points", fit.points},     {"exponent", fit.exponent}, {"constant", fit.constant},
          {"residual", fit.residual}, {"low", fit.low},           {"high", fit.high}};
}

Json crossing_json(const lab::Crossing& crossing) {
  return {{"outcome", lab::name_of(crossing.outcome)},
          {"entries", crossing.entries()},
          {"low", crossing.low},
          {"high", crossing.high},
          {"last_cheaper", crossing.last_cheaper},
          {"by_cost", crossing.by_cost}};
}

Json to_json(const lab::Summary& summary) {
  const lab::Settings& s = summary.settings;
  Json json{{"schema", json_schema},  {"order", s.order},        {"dims_per_log2_n", s.dims_per_log},
            {"accuracy", s.accuracy}, {"seed", s.seed},          {"threads", s.threads},
            {"speeds", s.speeds},     {"lengths", Json::array()}};
  for (const lab::SummaryRow& row : summary.rows) {
    json["lengths"].push_back({{"n", row.n},
                               {"dim", row.dim},
                               {"tolerance", row.tolerance},
                               {"predicted", crossing_json(row.predicted)},
                               {"measured", crossing_json(row.measured)},
                               {"rank_entries", row.ours.entries},
                               {"papers_entries", row.papers.entries}});
  }
  json["fits"] = {{"theory_exponent", 1.0 / s.order},          {"predicted", fit_json(summary.predicted)},
                  {"measured", fit_json(summary.measured)},    {"rank", fit_json(summary.ours)},
                  {"papers", fit_json(summary.papers)},        {"rank_far", fit_json(summary.far_ours)},
                  {"papers_far", fit_json(summary.far_papers)}};
  const lab::RatioRange ratio = lab::ratio_range(summary.degrees);
  json["degree_over_formula"] = {{"low", ratio.low}, {"high", ratio.high}};
  return json;
}

void study(const ThresholdRequest& request, std::vector<lab::Point>& points) {
  ProgressBar bar("threshold");
  lab::Look look = request.look;
  look.progress = bar.callback();
  try {
    lab::run_study(request.plan, look, points,
                   [&](const std::vector<lab::Point>& so_far) { save_points(request, so_far); });
  } catch (const Error& error) {
    if (error.code() != ErrorCode::cancelled) throw;
    throw Error(ErrorCode::cancelled, fmt::format("interrupted; {} points are kept in {}, the same command goes on",
                                                  points.size(), request.points()));
  }
}

int run(int argc, char** argv) {
  ThresholdFlags flags;
  CLI::App app("Where polynomials stop being cheaper than exact attention as entries grow, beside the theory.",
               "polyattn lab threshold");
  declare(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;
  const ThresholdRequest request = request_of(flags);
  const std::string crossings = request.prefix + "-crossing.csv";
  const std::string degrees = request.prefix + "-degree.csv";
  const std::string picture = request.prefix + ".svg";
  const std::string page = request.prefix + ".html";
  io::check_outputs(file_outputs({request.points(), crossings, degrees, picture, page, flags.json}), {});
  std::vector<lab::Point> points = points_before(request, flags.restart);
  study(request, points);
  save_points(request, points);

  const lab::Summary summary = lab::summarise(request.plan.settings, points);
  Outputs outputs;
  outputs.add_text(crossings, lab::crossings_csv(summary));
  outputs.add_text(degrees, lab::degrees_csv(summary));
  outputs.add_text(picture, lab::phase_svg(summary, points));
  outputs.add_text(page, lab::report_html(summary, points));
  outputs.commit();
  publish(flags.json, to_json(summary), lab::words(summary));
  return exit_done;
}

}  // namespace

const Command lab_threshold_command{"threshold", "where polynomials stop being cheaper, against the theory", run};

}  // namespace polyattn::cli
