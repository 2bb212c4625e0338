// polyattn attend: compute, verify if asked, and only then let the files appear.

#include "command.hpp"
#include "exit_codes.hpp"
#include "problem.hpp"
#include "progress_bar.hpp"
#include "results.hpp"
#include "verification.hpp"

#include <fmt/core.h>
#include <utility>

namespace polyattn::cli {

namespace {

struct AttendFlags {
  ProblemFlags problem;
  EngineFlags engine;
  std::optional<std::string> output, verify, seed, json, bounds, lse;
};

void declare(CLI::App& app, AttendFlags& flags) {
  add_problem_flags(app, flags.problem, "Q K V (order k: Q, k-1 keys, k-1 values)");
  text_flag(app, "-o,--output", flags.output, "OUT", "The result, .npy, with Q's number of dimensions");
  add_engine_flags(app, flags.engine);
  text_flag(app, "--verify", flags.verify, "ROWS", "Compare this many random rows with exact float64 afterwards");
  text_flag(app, "--seed", flags.seed, "S",
            "Seed of the random rows, for --verify and --guarantee sampled (default: a random one, reported)");
  text_flag(app, "--json", flags.json, "FILE", "The report as JSON; - for standard output");
  text_flag(app, "--bounds", flags.bounds, "FILE", "Proved error bound of each row, .npy, float64");
  text_flag(app, "--lse", flags.lse, "FILE", "Log-sum-exp of each row, .npy, float64");
  app.footer(
      "Examples:\n"
      "  polyattn attend q.npy k.npy v.npy -o out.npy --tolerance 1e-3\n"
      "  polyattn attend m.safetensors:q m.safetensors:k m.safetensors:v -o out.npy --causal upper_left\n"
      "  polyattn attend x.npy x.npy y.npy -o smooth.npy --score gaussian --bandwidth 0.5 --verify 1000 --json -\n"
      "  polyattn attend q.npy k.npy v.npy -o out.npy --tolerance 1e-3 --guarantee sampled\n");
}

Result compute(const Problem& problem) {
  ProgressBar bar("attend");
  Options options = problem.options;
  options.progress = bar.callback();
  return naming_files(problem, [&] { return attend(problem.q_view, problem.key_views, problem.value_views, options); });
}

int run(int argc, char** argv) {
  AttendFlags flags;
  CLI::App app("Attention with a tolerance: the fastest engine proved to meet it.", "polyattn attend");
  declare(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;

  if (!flags.output) throw UsageError("attend needs -o OUT, the file to write");
  Request request = make_request(flags.problem, 0);
  apply_engine_flags(flags.engine, request.options);
  const bool sampled = request.options.guarantee == Guarantee::sampled;
  if (sampled && !flags.problem.tolerance) throw UsageError("--guarantee sampled needs --tolerance");
  if (flags.seed && !flags.verify && !sampled) throw UsageError("--seed needs --verify or --guarantee sampled");
  std::int64_t rows = 0;
  if (flags.verify) rows = parse_integer("--verify", *flags.verify, 1, std::int64_t{1} << 40);
  const std::uint64_t seed = flags.seed ? parse_unsigned("--seed", *flags.seed) : random_seed();
  request.options.sampling.seed = seed;
  request.options.want_lse = flags.lse.has_value();
  request.options.want_row_bounds = flags.bounds.has_value() || flags.verify.has_value();
  std::vector<std::string> outputs = file_outputs({flags.json});
  for (const auto& path : {flags.output, flags.bounds, flags.lse}) {
    if (path) outputs.push_back(*path);
  }
  io::check_outputs(outputs, request.input_paths());

  const Problem problem = load(request);
  const Result result = compute(problem);
  std::optional<Verification> verification;
  if (flags.verify) {
    verification = verify_rows(result.output.view(), problem.q_view, problem.key_views, problem.value_views,
                               problem.options, rows, seed, row_bounds(result.row_bounds.value()));
  }
  const Verification* verified = verification ? &*verification : nullptr;
  const Json json = to_json(result.report, verified);

  Outputs files;
  files.add_tensor(*flags.output, result.output, problem.rank(), false);
  if (flags.bounds) files.add_tensor(*flags.bounds, result.row_bounds.value(), problem.rank(), true);
  if (flags.lse) files.add_tensor(*flags.lse, result.lse.value(), problem.rank(), true);
  publish(flags.json, json, words(result.report) + (verified ? describe(*verified) : ""), std::move(files));
  return verified != nullptr && verified->outside > 0 ? exit_outside : exit_done;
}

}  // namespace

constinit const Command attend_command{"attend", "compute attention, with a tolerance", run};

}  // namespace polyattn::cli
