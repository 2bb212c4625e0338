// polyattn plan: what attend would do, and why.

#include "command.hpp"
#include "exit_codes.hpp"
#include "problem.hpp"
#include "progress_bar.hpp"
#include "results.hpp"

namespace polyattn::cli {

namespace {

int run(int argc, char** argv) {
  ProblemFlags problem_flags;
  EngineFlags engine_flags;
  std::optional<std::string> json;
  CLI::App app("What attend would do with the same flags: engines considered, cost, error, and why.", "polyattn plan");
  add_problem_flags(app, problem_flags, "Q K V (order k: Q, k-1 keys, k-1 values)");
  add_engine_flags(app, engine_flags);
  text_flag(app, "--json", json, "FILE", "The plan as JSON, with every candidate; - for standard output");
  app.footer(
      "Examples:\n"
      "  polyattn plan q.npy k.npy v.npy --tolerance 1e-3\n"
      "  polyattn plan q.npy k.npy v.npy --tolerance 1e-3 --tolerance-kind of_value_range --json -\n");
  if (const auto code = parse(app, argc, argv)) return *code;

  Request request = make_request(problem_flags, 0);
  apply_engine_flags(engine_flags, request.options);
  io::check_outputs(file_outputs({json}), request.input_paths());
  Problem problem = load(request);
  const PlanReport report = [&] {
    ProgressBar bar("plan");
    problem.options.progress = bar.callback();
    return naming_files(problem, [&] {
      return plan(problem.q_view, problem.key_views, problem.value_views, problem.options).report();
    });
  }();
  publish(json, to_json(report), describe(report));
  return exit_done;
}

}  // namespace

constinit const Command plan_command{"plan", "say what attend would do, and why", run};

}  // namespace polyattn::cli
