// polyattn verify: does an output hold what was promised for it?

#include "command.hpp"
#include "exit_codes.hpp"
#include "io/element.hpp"
#include "io/tensor_file.hpp"
#include "problem.hpp"
#include "results.hpp"
#include "verification.hpp"

#include <fmt/core.h>
#include <cmath>

namespace polyattn::cli {

namespace {

struct VerifyFlags {
  ProblemFlags problem;
  std::optional<std::string> bounds, rows, seed, json;
};

void declare(CLI::App& app, VerifyFlags& flags) {
  add_problem_flags(app, flags.problem, "Q K V OUT (order k: Q, k-1 keys, k-1 values, OUT)");
  text_flag(app, "--bounds", flags.bounds, "FILE", "Bounds of each row from attend --bounds, instead of --tolerance");
  text_flag(app, "--rows", flags.rows, "N",
            "How many random rows of each head to check (default 1000; order 3 and above: 64)");
  text_flag(app, "--seed", flags.seed, "S", "Seed of the random rows (default: a random one, reported)");
  text_flag(app, "--json", flags.json, "FILE", "The report as JSON; - for standard output");
  app.footer(
      "Score, mask and scale flags must be those of attend. Exit code 1 if a row is outside.\n"
      "Examples:\n"
      "  polyattn verify q.npy k.npy v.npy out.npy --tolerance 1e-3\n"
      "  polyattn verify q.npy k.npy v.npy out.npy --bounds bounds.npy --rows 5000 --seed 1\n");
}

io::StoredTensor load_output(const std::string& name, const Problem& problem) {
  io::StoredTensor output = io::read_tensor(name, io::Role::tensor);
  std::vector<std::int64_t> expected = problem.q.dims;
  expected.back() = problem.value_views.front().shape[3];
  if (output.dims != expected) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("{}: has shape {}, expected {} for the output of {} and {}", output.name,
                    io::dims_text(output.dims), io::dims_text(expected), problem.q.name, problem.values.front().name));
  }
  return output;
}

Allowance from_bounds(const io::StoredTensor& bounds, const Problem& problem) {
  std::vector<std::int64_t> expected = problem.q.dims;
  expected.pop_back();
  if (bounds.dims != expected) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: has shape {}, expected {}, a bound for each row", bounds.name,
                            io::dims_text(bounds.dims), io::dims_text(expected)));
  }
  return [view = io::bias_view(bounds), name = bounds.name](std::int64_t batch, std::int64_t head, std::int64_t row) {
    const double bound = io::element(view, batch, head, row, 0);
    if (!(bound >= 0.0)) {
      throw Error(ErrorCode::non_finite,
                  fmt::format("{}: the bound of batch {} head {} row {} is {}, expected a number "
                              "that is not negative",
                              name, batch, head, row, bound));
    }
    return bound;
  };
}

Allowance from_tolerance(const Problem& problem) {
  const Tolerance& tolerance = problem.options.tolerance;
  if (tolerance.kind == ToleranceKind::absolute) {
    return [value = tolerance.value](auto, auto, auto) { return value; };
  }
  const std::int64_t heads = problem.q_view.shape[1];
  return [value = tolerance.value, heads, ranges = value_ranges(problem.q_view, problem.value_views, problem.options)](
             std::int64_t batch, std::int64_t head, std::int64_t) {
    return value * ranges[static_cast<std::size_t>(batch * heads + head)];
  };
}

/// An exact row costs as many multiply-adds as there are tuples of keys.
std::int64_t usual_rows(const Request& request) { return request.keys.size() == 1 ? 1000 : 64; }

int run(int argc, char** argv) {
  VerifyFlags flags;
  CLI::App app("Compare an output with exact rows at random indices.", "polyattn verify");
  declare(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;

  Request request = make_request(flags.problem, 1);
  if (flags.bounds.has_value() == flags.problem.tolerance.has_value()) {
    throw UsageError("verify needs either --tolerance EPS or --bounds FILE");
  }
  if (flags.problem.tolerance && request.options.tolerance.value == 0.0) {
    throw UsageError("--tolerance 0 leaves no room for rounding; give --bounds FILE, written by attend --bounds");
  }
  const std::int64_t rows =
      flags.rows ? parse_integer("--rows", *flags.rows, 1, std::int64_t{1} << 40) : usual_rows(request);
  const std::uint64_t seed = flags.seed ? parse_unsigned("--seed", *flags.seed) : random_seed();
  std::vector<std::string> inputs = request.input_paths();
  if (flags.bounds) inputs.push_back(io::split_name(*flags.bounds).path);
  io::check_outputs(file_outputs({flags.json}), inputs);

  const Problem problem = load(request);
  const io::StoredTensor output = load_output(request.extra, problem);
  std::optional<io::StoredTensor> bounds;
  if (flags.bounds) bounds = io::read_tensor(*flags.bounds, io::Role::bias);
  const Allowance allowance = bounds ? from_bounds(*bounds, problem) : from_tolerance(problem);
  const Verification verification = naming_files(problem, [&] {
    return verify_rows(io::tensor_view(output), problem.q_view, problem.key_views, problem.value_views, problem.options,
                       rows, seed, allowance);
  });
  publish(flags.json, to_json(verification), describe(verification));
  return verification.outside > 0 ? exit_outside : exit_done;
}

}  // namespace

constinit const Command verify_command{"verify", "compare an output with exact rows", run};

}  // namespace polyattn::cli
