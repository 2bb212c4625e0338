// polyattn plan: what attend would do, and why; with --sweep, what each of several tolerances would take.

#include "command.hpp"
#include "exit_codes.hpp"
#include "problem.hpp"
#include "progress_bar.hpp"
#include "results.hpp"

#include <vector>

namespace polyattn::cli {

namespace {

constexpr const char* usual_sweep = "1e-1,1e-2,1e-3,1e-4,1e-5,1e-6";

struct PlanFlags {
  ProblemFlags problem;
  EngineFlags engine;
  std::optional<std::string> sweep, json;
};

void declare(CLI::App& app, PlanFlags& flags) {
  add_problem_flags(app, flags.problem, "Q K V (order k: Q, k-1 keys, k-1 values)");
  add_engine_flags(app, flags.engine);
  app.add_option_function<std::string>(
         "--sweep", [&flags](const std::string& given) { flags.sweep = given.empty() ? usual_sweep : given; },
         "A table of what each of these tolerances would take (default 1e-1 to 1e-6)")
      ->type_name("[EPS,EPS...]")
      ->expected(0, 1);
  text_flag(app, "--json", flags.json, "FILE", "The plan as JSON, with every candidate; - for standard output");
  app.footer(
      "Examples:\n"
      "  polyattn plan q.npy k.npy v.npy --tolerance 1e-3\n"
      "  polyattn plan q.npy k.npy v.npy --tolerance 1e-3 --tolerance-kind of_value_range --json -\n"
      "  polyattn plan q.npy k.npy v.npy --sweep\n"
      "  polyattn plan q.npy k.npy v.npy --sweep 1e-2,1e-3 --tolerance-kind of_value_range\n");
}

std::vector<double> tolerances(PlanFlags& flags) {
  if (flags.problem.tolerance) throw UsageError("--sweep and --tolerance exclude each other");
  std::vector<double> list;
  try {
    list = parse_reals("--sweep", *flags.sweep);
  } catch (const UsageError& error) {
    throw UsageError(std::string(error.what()) + "; where files follow --sweep, write --sweep=1e-1,1e-2");
  }
  for (const double tolerance : list) {
    if (tolerance < 0.0) refuse_flag("--sweep", *flags.sweep, "numbers that are not negative");
  }
  flags.problem.tolerance = "0";  // the table has its own; of the flag only the kind is looked at
  return list;
}

int run(int argc, char** argv) {
  PlanFlags flags;
  CLI::App app("What attend would do with the same flags: engines considered, cost, error, and why.", "polyattn plan");
  declare(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;

  std::vector<double> swept;
  if (flags.sweep) swept = tolerances(flags);
  Request request = make_request(flags.problem, 0);
  apply_engine_flags(flags.engine, request.options);
  if (request.options.guarantee == Guarantee::sampled && !flags.problem.tolerance) {
    throw UsageError("--guarantee sampled needs --tolerance or --sweep");
  }
  io::check_outputs(file_outputs({flags.json}), request.input_paths());
  Problem problem = load(request);
  const auto with_bar = [&](const auto& call) {
    ProgressBar bar("plan");
    problem.options.progress = bar.callback();
    return naming_files(problem, call);
  };
  if (flags.sweep) {
    const SweepReport report =
        with_bar([&] { return sweep(problem.q_view, problem.key_views, problem.value_views, swept, problem.options); });
    publish(flags.json, to_json(report), describe(report));
    return exit_done;
  }
  const PlanReport report =
      with_bar([&] { return plan(problem.q_view, problem.key_views, problem.value_views, problem.options).report(); });
  publish(flags.json, to_json(report), describe(report));
  return exit_done;
}

}  // namespace

constinit const Command plan_command{"plan", "say what attend would do, and why", run};

}  // namespace polyattn::cli
