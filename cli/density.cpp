// polyattn density: kernel density estimates of tables, at their points, at queries or on a grid.

#include "command.hpp"
#include "exit_codes.hpp"
#include "polyattn/smoothing.hpp"
#include "progress_bar.hpp"
#include "results.hpp"
#include "smoothing/density_verification.hpp"
#include "smoothing/flags.hpp"
#include "smoothing/places.hpp"
#include "smoothing/reports.hpp"

#include <utility>

namespace polyattn::cli {

namespace {

struct DensityFlags {
  SmoothingFlags common;
  bool log = false;
};

void declare(CLI::App& app, DensityFlags& flags) {
  SmoothingFlags& common = flags.common;
  add_input_flags(app, common, "POINTS: [n, d] or [n]; or a .csv file with --x");
  text_flag(
      app, "--bandwidth", common.bandwidth, "H[,H2...]|scott",
      "Of the kernel exp(-|x-y|^2 / 2H^2), in the units of the points: one H, one for each axis, or Scott's rule");
  text_flag(app, "-o,--output", common.output, "OUT",
            "The density, per unit of volume, float64: .npy, or .csv with the coordinates");
  app.add_flag("--log", flags.log, "Its natural logarithm instead, which does not underflow");
  text_flag(app, "--tolerance", common.tolerance, "EPS",
            "Largest error allowed, as --tolerance-kind says; of the logarithm with --log (default 1e-4)");
  text_flag(app, "--tolerance-kind", common.tolerance_kind, "KIND",
            "of_peak (default): EPS times the largest density; relative: EPS times the density itself, however small; "
            "absolute: EPS, per unit of volume");
  text_flag(app, "--bounds", common.bounds, "FILE", "Proved error bound of each answer, .npy, float64");
  add_running_flags(app, common);
  app.footer(
      "Rows of a .csv with an empty cell, NA, NaN or null in a chosen column are left out and counted.\n"
      "Examples:\n"
      "  polyattn density x.npy --bandwidth scott -o density.npy\n"
      "  polyattn density flights.csv --x dep_delay,arr_delay --bandwidth 3 --on-grid 400x400 -o density.npy\n"
      "  polyattn density x.csv --x a,b --bandwidth 0.2,0.5 --queries q.csv --log -o density.csv\n");
}

DensityOptions density_options(const DensityFlags& flags, const SmoothingRequest& request) {
  DensityOptions options;
  options.tolerance = request.tolerance;
  if (!(options.tolerance > 0.0)) refuse_flag("--tolerance", *flags.common.tolerance, "a positive number");
  options.log = flags.log;
  if (flags.common.tolerance_kind) {
    if (flags.log) throw UsageError("--tolerance-kind does not go with --log, whose tolerance is the logarithm's");
    options.tolerance_kind = parse_choice<DensityTolerance>("--tolerance-kind", *flags.common.tolerance_kind,
                                                            {{"of_peak", DensityTolerance::of_peak},
                                                             {"relative", DensityTolerance::relative},
                                                             {"absolute", DensityTolerance::absolute}});
  }
  request.means.apply(options);
  return options;
}

DensityResult compute(const Tables& tables, const Places& places, DensityOptions options) {
  ProgressBar bar("density");
  options.progress = bar.callback();
  return naming_tables(tables, [&] {
    return places.points ? density(tables.points.view, options) : density(tables.points.view, places.view, options);
  });
}

int show_plan(const Tables& tables, const Places& places, const ChosenBandwidth& chosen, DensityOptions options,
              const std::optional<std::string>& json_path) {
  ProgressBar bar("plan");
  options.progress = bar.callback();
  const PlanReport plan = naming_tables(tables, [&] { return plan_density(tables.points.view, places.view, options); });
  Json json = to_json(plan);
  add_inputs(json, tables, places, chosen);
  publish(json_path, json, input_words(tables, chosen) + describe(plan));
  return exit_done;
}

void write(Outputs& files, const DensityFlags& flags, const DensityResult& result, const Places& places) {
  const std::string& output = flags.common.output.value();
  const Array array{&result.density, {flags.log ? "log_density" : "density"}, true};
  if (io::is_csv(output)) {
    add_table(files, output, places, {array});
  } else {
    add_array(files, output, places, array);
    add_axes(files, output, places);
  }
  if (flags.common.bounds) add_array(files, *flags.common.bounds, places, {&result.bounds, {}, true});
}

int run(int argc, char** argv) {
  DensityFlags flags;
  CLI::App app("Kernel density estimates of tables, within a tolerance, proved.", "polyattn density");
  declare(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;

  const SmoothingRequest request = smoothing_request(flags.common, "density", false);
  DensityOptions options = density_options(flags, request);
  check_smoothing_outputs(flags.common, request, {});
  const Tables tables = load_tables(request.tables);
  if (request.grid) check_grid(*request.grid, tables.points.dim(), 2, request.means.max_memory);
  ChosenBandwidth chosen{request.bandwidth_rule, request.bandwidth, std::nullopt};
  if (chosen.rule == "scott") {
    chosen.bandwidth = naming_tables(tables, [&] { return scott_bandwidth(tables.points.view); });
  } else {
    check_bandwidth_axes(chosen.bandwidth, tables.points);
  }
  options.bandwidth = chosen.bandwidth;
  const Places places = make_places(tables, request.grid, chosen.bandwidth);
  const std::optional<std::string>& json_path = flags.common.json;
  if (flags.common.plan) return show_plan(tables, places, chosen, options, json_path);
  const DensityResult result = compute(tables, places, options);
  std::optional<Verification> verification;
  if (request.verify_rows > 0) {
    verification = verify_density(result, tables.points.view, places.view, chosen.bandwidth, flags.log, request);
  }

  Json json = to_json(result.report, verification ? &*verification : nullptr);
  add_inputs(json, tables, places, chosen);
  add_result(json, result, options);
  Outputs files;
  write(files, flags, result, places);
  const std::string text =
      input_words(tables, chosen) + words(result, options) + (verification ? describe(*verification) : "");
  publish(json_path, json, text, std::move(files));
  return verification && verification->outside > 0 ? exit_outside : exit_done;
}

}  // namespace

constinit const Command density_command{"density", "kernel density estimates of tables", run};

}  // namespace polyattn::cli
