// polyattn smooth: kernel regression of tables, the bandwidth given, by Scott's rule, or by leaving one out.

#include "command.hpp"
#include "exit_codes.hpp"
#include "polyattn/smoothing.hpp"
#include "problem.hpp"
#include "progress_bar.hpp"
#include "results.hpp"
#include "smoothing/flags.hpp"
#include "smoothing/places.hpp"
#include "smoothing/reports.hpp"
#include "smoothing/search_flags.hpp"
#include "verification.hpp"

#include <utility>

namespace polyattn::cli {

namespace {

struct SmoothFlags {
  SmoothingFlags common;
  SearchFlags search;
  std::optional<std::string> lse, dtype;
  bool standard_error = false;
  bool leave_one_out = false;
};

void declare(CLI::App& app, SmoothFlags& flags) {
  SmoothingFlags& common = flags.common;
  add_input_flags(app, common, "POINTS VALUES: [n, d] and [n, columns] or [n]; or one .csv file with --x and --y");
  text_flag(app, "--y", common.tables.y, "C,...", "For .csv: the columns that are values");
  text_flag(
      app, "--bandwidth", common.bandwidth, "H[,H2...]|scott|cv",
      "Of the kernel exp(-|x-y|^2 / 2H^2), in the units of the points: one H, one for each axis, Scott's rule, or "
      "the one of least leave-one-out error");
  add_search_flags(app, flags.search);
  text_flag(app, "-o,--output", common.output, "OUT",
            "The result: .npy, or .csv with the coordinates and a column for each of the values");
  text_flag(app, "--tolerance", common.tolerance, "EPS", "Largest error allowed (default 1e-4; 0: exact)");
  text_flag(app, "--tolerance-kind", common.tolerance_kind, "KIND",
            "of_value_range (default): times the largest max-min of a value column; or absolute");
  app.add_flag("--std", flags.standard_error,
               "Also the standard error of each answer, in the units of the values: OUT-std.npy, or columns in a .csv");
  app.add_flag("--leave-one-out", flags.leave_one_out, "Every point is answered by the others");
  text_flag(app, "--bounds", common.bounds, "FILE", "Proved error bound of each answer, .npy, float64");
  text_flag(app, "--lse", flags.lse, "FILE", "Log of the sum of the kernels at each query, .npy, float64");
  text_flag(app, "--dtype", flags.dtype, "TYPE",
            "Of a .npy result: float16, float32 or float64 (default: the queries'; float32 for 16-bit ones)");
  add_running_flags(app, common);
  app.footer(
      "Rows of a .csv with an empty cell, NA, NaN or null in a chosen column are left out and counted.\n"
      "Examples:\n"
      "  polyattn smooth x.npy y.npy --bandwidth 0.5,0.5,2 -o fit.npy\n"
      "  polyattn smooth flights.csv --x hour,day,distance --y arr_delay --bandwidth cv --std -o fit.csv\n"
      "  polyattn smooth flights.csv --x hour,distance --y arr_delay --bandwidth scott --on-grid 100x80 -o map.npy\n");
}

SmoothOptions smooth_options(const SmoothFlags& flags, const SmoothingRequest& request) {
  SmoothOptions options;
  options.tolerance.value = request.tolerance;
  if (flags.common.tolerance_kind) {
    options.tolerance.kind = parse_choice<ToleranceKind>(
        "--tolerance-kind", *flags.common.tolerance_kind,
        {{"of_value_range", ToleranceKind::of_value_range}, {"absolute", ToleranceKind::absolute}});
  }
  options.standard_error = flags.standard_error;
  options.leave_one_out = flags.leave_one_out;
  options.want_row_bounds = flags.common.bounds.has_value() || request.verify_rows > 0;
  options.want_lse = flags.lse.has_value();
  if (flags.dtype) options.output_dtype = parse_output_dtype(*flags.dtype);
  if (flags.leave_one_out && (request.grid || request.tables.queries)) {
    throw UsageError("--leave-one-out answers at the points, so it goes with neither --queries nor --on-grid");
  }
  request.means.apply(options);
  return options;
}

ChosenBandwidth choose_bandwidth(const Tables& tables, const SmoothingRequest& request, BandwidthOptions search) {
  ChosenBandwidth chosen{request.bandwidth_rule, request.bandwidth, std::nullopt};
  if (chosen.rule == "given") check_bandwidth_axes(chosen.bandwidth, tables.points);
  if (chosen.rule == "scott") {
    chosen.bandwidth = naming_tables(tables, [&] { return scott_bandwidth(tables.points.view); });
  }
  if (chosen.rule == "cv") {
    ProgressBar bar("bandwidth");
    search.progress = bar.callback();
    chosen.search =
        naming_tables(tables, [&] { return select_bandwidth(tables.points.view, tables.values->view, search); });
    chosen.bandwidth = chosen.search->bandwidth;
  }
  return chosen;
}

SmoothResult compute(const Tables& tables, const Places& places, SmoothOptions options) {
  ProgressBar bar("smooth");
  options.progress = bar.callback();
  return naming_tables(tables, [&] {
    return places.points ? smooth(tables.points.view, tables.values->view, options)
                         : smooth(tables.points.view, tables.values->view, places.view, options);
  });
}

int show_plan(const Tables& tables, const Places& places, const ChosenBandwidth& chosen, SmoothOptions options,
              const std::optional<std::string>& json_path) {
  ProgressBar bar("plan");
  options.progress = bar.callback();
  const SmoothPlan plan = naming_tables(tables, [&] {
    return places.points ? plan_smooth(tables.points.view, tables.values->view, options)
                         : plan_smooth(tables.points.view, tables.values->view, places.view, options);
  });
  Json json = to_json(plan.smoothing);
  std::string text = input_words(tables, chosen) + describe(plan.smoothing);
  add_inputs(json, tables, places, chosen);
  if (plan.leave_one_out) {
    text += "for the standard error, leaving one out:\n" + describe(*plan.leave_one_out);
    json["leave_one_out"] = to_json(*plan.leave_one_out);
  }
  if (plan.squared_weights) {
    text += "for the standard error, squared weights:\n" + describe(*plan.squared_weights);
    json["squared_weights"] = to_json(*plan.squared_weights);
  }
  json["predicted_seconds"] = plan.predicted_seconds;
  json["predicted_bytes"] = plan.predicted_bytes;
  publish(json_path, json, text);
  return exit_done;
}

std::optional<Verification> verify(const SmoothResult& result, const Tables& tables, const Places& places,
                                   const SmoothOptions& options, const SmoothingRequest& request) {
  if (request.verify_rows == 0) return std::nullopt;
  Options exact;
  exact.score = Gaussian{options.bandwidth};
  exact.mask.exclude_self = options.leave_one_out;
  exact.threads = options.threads;
  exact.max_memory = options.max_memory;
  return verify_rows(result.output.view(), places.view, {tables.points.view}, {tables.values->view}, exact,
                     request.verify_rows, request.seed, row_bounds(result.row_bounds.value()));
}

void write(Outputs& files, const SmoothFlags& flags, const SmoothResult& result, const Tables& tables,
           const Places& places) {
  const Table& values = *tables.values;
  const std::string& output = flags.common.output.value();
  const bool flat = values.line || (values.table && values.dim() == 1);
  const auto named = [&](const char* suffix) {
    std::vector<std::string> names;
    for (const std::string& column : values.columns) names.push_back(column + suffix);
    return names;
  };
  std::vector<Array> arrays{{&result.output, named("_fit"), flat}};
  if (result.standard_error) arrays.push_back({&*result.standard_error, named("_std"), flat});
  if (io::is_csv(output)) {
    add_table(files, output, places, arrays);
  } else {
    add_array(files, output, places, arrays[0]);
    if (result.standard_error) add_array(files, beside(output, "-std"), places, arrays[1]);
    add_axes(files, output, places);
  }
  if (flags.common.bounds) add_array(files, *flags.common.bounds, places, {&result.row_bounds.value(), {}, true});
  if (flags.lse) add_array(files, *flags.lse, places, {&result.lse.value(), {}, true});
}

int run(int argc, char** argv) {
  SmoothFlags flags;
  CLI::App app("Kernel regression (Nadaraya-Watson) of tables, within a tolerance, proved.", "polyattn smooth");
  declare(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;

  const SmoothingRequest request = smoothing_request(flags.common, "smooth", true);
  SmoothOptions options = smooth_options(flags, request);
  const BandwidthOptions search = search_options(flags.search, request, options.tolerance);
  if (flags.common.plan && request.bandwidth_rule == "cv") {
    throw UsageError("--plan computes nothing, so it needs a --bandwidth that is given, or scott");
  }
  std::vector<std::string> extra;
  if (flags.lse) extra.push_back(*flags.lse);
  if (flags.common.output && flags.standard_error && !io::is_csv(*flags.common.output)) {
    extra.push_back(beside(*flags.common.output, "-std"));
  }
  check_smoothing_outputs(flags.common, request, extra);

  const Tables tables = load_tables(request.tables);
  if (request.grid) {
    check_grid(*request.grid, tables.points.dim(), tables.values->dim(), request.means.max_memory);
  }
  const ChosenBandwidth chosen = choose_bandwidth(tables, request, search);
  options.bandwidth = chosen.bandwidth;
  const Places places = make_places(tables, request.grid, chosen.bandwidth);
  if (flags.common.plan) return show_plan(tables, places, chosen, options, flags.common.json);
  const SmoothResult result = compute(tables, places, options);
  const std::optional<Verification> verification = verify(result, tables, places, options, request);

  Json json = to_json(result.report, verification ? &*verification : nullptr);
  add_inputs(json, tables, places, chosen);
  add_result(json, result);
  Outputs files;
  write(files, flags, result, tables, places);
  const std::string text = input_words(tables, chosen) + words(result.report) + words(result, tables.values->columns) +
                           (verification ? describe(*verification) : "");
  publish(flags.common.json, json, text, std::move(files));
  return verification && verification->outside > 0 ? exit_outside : exit_done;
}

}  // namespace

constinit const Command smooth_command{"smooth", "kernel regression of tables, bandwidth by cross-validation", run};

}  // namespace polyattn::cli
