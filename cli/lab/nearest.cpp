// polyattn lab nearest: approximate Hamming nearest neighbours, every decision of which is an answer of attention.

#include "lab/nearest.hpp"

#include "command.hpp"
#include "exit_codes.hpp"
#include "io/tensor_file.hpp"
#include "lab/binary_file.hpp"
#include "lab/commands.hpp"
#include "lab/nearest_instances.hpp"
#include "lab/oracle_flags.hpp"
#include "problem.hpp"
#include "progress_bar.hpp"
#include "results.hpp"
#include "signals.hpp"
#include "verification.hpp"

#include <fmt/core.h>
#include <chrono>
#include <utility>

namespace polyattn::cli {

namespace {

struct NearestFlags {
  std::vector<std::string> files;
  std::optional<std::string> ratio, shape, branch, within, generate, rows, keys, dim, distance, seed;
  std::optional<std::string> output, json;
  OracleFlags oracle;
  bool verify = false;
};

void declare(CLI::App& app, NearestFlags& flags) {
  app.add_option("files", flags.files, "A and B, sets of binary vectors, [n, d] and [m, d]")->type_name("FILE FILE");
  text_flag(app, "--ratio", flags.ratio, "R", "Distances of up to R times the least will do (default 1.5; at least 1)");
  text_flag(app, "--shape", flags.shape, "SHAPE",
            "pad: one pad key at the threshold, errors below 1/8 are borne (default); paper: as Lemma 4.7 has it");
  text_flag(app, "--branch", flags.branch, "CASE",
            "auto: a lookup table where that is cheap (default); table or attention: always");
  text_flag(app, "--within", flags.within, "T",
            "One decision instead: 1 for rows with a row of B within T, 0 where all are beyond R T");
  text_flag(app, "-o,--output", flags.output, "OUT", "The indices (with --within: 0 or 1), .npy, int64 [n]");
  app.add_flag("--verify", flags.verify, "Compare with brute force afterwards; exit code 1 if a row is outside");
  text_flag(app, "--generate", flags.generate, "HOW",
            "Instead of files: random, fair bits; planted, half of A at --distance from a row of B");
  text_flag(app, "--rows", flags.rows, "N", "With --generate: rows of A (default 1000)");
  text_flag(app, "--keys", flags.keys, "M", "With --generate: rows of B (default: as many)");
  text_flag(app, "--dim", flags.dim, "D", "With --generate: bits (default 64)");
  text_flag(app, "--distance", flags.distance, "T", "With --generate planted (default D/8)");
  text_flag(app, "--seed", flags.seed, "S", "With --generate (default: a random one, reported)");
  add_oracle_flags(app, flags.oracle, "auto");
  text_flag(app, "--json", flags.json, "FILE", "The report as JSON; - for standard output");
  app.footer(
      "Files hold booleans, integers or floating-point numbers that are 0 or 1.\n"
      "Examples:\n"
      "  polyattn lab nearest a.npy b.npy --ratio 1.5 -o index.npy\n"
      "  polyattn lab nearest a.npy b.npy --ratio 1.5 --shape paper --verify\n"
      "  polyattn lab nearest --generate planted --rows 2000 --dim 64 --distance 6 --seed 1 --verify --json -\n"
      "  polyattn lab nearest a.npy b.npy --within 10 -o near.npy\n");
}

struct Task {
  lab::NearestInstance data{lab::BitVectors(0, 0), lab::BitVectors(0, 0)};
  lab::NearestOptions options;
  Options engine;
  std::optional<std::int64_t> within;
  std::optional<std::uint64_t> seed;
};

void generate(const NearestFlags& flags, Task& task) {
  constexpr std::int64_t most = std::int64_t{1} << 24;
  const bool planted = parse_choice<bool>("--generate", *flags.generate, {{"random", false}, {"planted", true}});
  if (flags.distance && !planted) throw UsageError("--distance needs --generate planted");
  const std::int64_t rows = flags.rows ? parse_integer("--rows", *flags.rows, 0, most) : 1000;
  const std::int64_t keys =
      flags.keys ? parse_integer("--keys", *flags.keys, 1, most) : std::max<std::int64_t>(rows, 1);
  const std::int64_t dim = flags.dim ? parse_integer("--dim", *flags.dim, 0, 4096) : 64;
  const std::int64_t distance = flags.distance ? parse_integer("--distance", *flags.distance, 0, dim) : dim / 8;
  task.seed = flags.seed ? parse_unsigned("--seed", *flags.seed) : random_seed();
  task.data = planted ? lab::planted_nearest(rows, keys, dim, distance, *task.seed)
                      : lab::random_nearest(rows, keys, dim, *task.seed);
}

void load(const NearestFlags& flags, Task& task) {
  std::vector<lab::BitVectors> sets = read_binaries(flags.files);
  task.data = {std::move(sets[0]), std::move(sets[1])};
  const auto& [a, b] = task.data;
  if (b.count() == 0 && a.count() > 0) {
    throw Error(ErrorCode::invalid_argument, flags.files[1] + ": expected at least one row, got none");
  }
}

Task task_of(const NearestFlags& flags) {
  if (flags.files.size() != (flags.generate ? 0U : 2U)) {
    throw UsageError("lab nearest needs the files A and B, or --generate and no file");
  }
  for (const auto* only : {&flags.rows, &flags.keys, &flags.dim, &flags.distance, &flags.seed}) {
    if (*only && !flags.generate) throw UsageError("--rows, --keys, --dim, --distance and --seed need --generate");
  }
  Task task;
  if (flags.ratio) {
    task.options.ratio = parse_real("--ratio", *flags.ratio);
    if (!(task.options.ratio >= 1.0 && task.options.ratio <= 0x1p20)) {
      refuse_flag("--ratio", *flags.ratio, "a number from 1 to 2^20");
    }
  }
  if (flags.shape) {
    task.options.shape = parse_choice<lab::GapShape>("--shape", *flags.shape,
                                                     {{"pad", lab::GapShape::pad}, {"paper", lab::GapShape::paper}});
  }
  if (flags.branch) {
    using lab::GapBranch;
    task.options.branch = parse_choice<GapBranch>(
        "--branch", *flags.branch,
        {{"auto", GapBranch::automatic}, {"table", GapBranch::table}, {"attention", GapBranch::attention}});
  }
  if (flags.within) task.within = parse_integer("--within", *flags.within, 0, 1 << 20);
  task.engine = oracle_options(flags.oracle, Engine::automatic);
  std::vector<std::string> inputs;
  for (const std::string& file : flags.files) inputs.push_back(io::split_name(file).path);
  io::check_outputs(file_outputs({flags.json, flags.output}), inputs);
  flags.generate ? generate(flags, task) : load(flags, task);
  return task;
}

struct Found {
  std::vector<std::int64_t> answers;
  lab::NearestCost cost;
  double seconds = 0.0;
};

Found compute(Task& task) {
  ProgressBar bar("lab nearest");
  task.options.progress = bar.callback();
  task.engine.progress = [](double) { return !interrupted(); };
  task.options.oracle = lab::engine_oracle(task.engine);
  const auto start = std::chrono::steady_clock::now();
  Found found;
  if (task.within) {
    const auto near = lab::gap_ann(task.data.a, task.data.b, *task.within, task.options, &found.cost);
    found.answers.assign(near.begin(), near.end());
  } else {
    lab::Nearest nearest = lab::nearest_by_attention(task.data.a, task.data.b, task.options);
    found.answers = std::move(nearest.index);
    found.cost = nearest.cost;
  }
  found.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return found;
}

/// Against all distances.
struct BruteForce {
  std::int64_t outside = 0;
  std::int64_t nearest = 0;  ///< rows whose index is that of a nearest one
};

BruteForce brute_force(const Task& task, const Found& found) {
  const auto& [a, b] = task.data;
  BruteForce out;
  for (std::int64_t i = 0; i < a.count(); ++i) {
    stop_if_interrupted();
    std::int64_t least = a.dimension() + 1;
    for (std::int64_t j = 0; j < b.count(); ++j) least = std::min(least, lab::hamming_distance(a[i], b[j]));
    const std::int64_t answer = found.answers[static_cast<std::size_t>(i)];
    bool within = false;
    if (task.within) {
      const bool far = least >= lab::gap_at(*task.within, task.options.ratio).far;
      within = answer == 1 ? !far : least > *task.within;
    } else {
      const std::int64_t distance = lab::hamming_distance(a[i], b[answer]);
      within = distance < lab::gap_at(least, task.options.ratio).far;
      out.nearest += distance == least ? 1 : 0;
    }
    out.outside += within ? 0 : 1;
  }
  return out;
}

Json json_of(const Task& task, const Found& found, const std::optional<BruteForce>& checked) {
  const lab::NearestCost& cost = found.cost;
  Json json{{"schema", json_schema},
            {"rows", task.data.a.count()},
            {"keys", task.data.b.count()},
            {"dim", task.data.a.dimension()},
            {"ratio", task.options.ratio},
            {"shape", name_of(task.options.shape)},
            {"seed", task.seed ? Json(*task.seed) : Json(nullptr)},
            {"within", task.within ? Json(*task.within) : Json(nullptr)},
            {"calls", cost.calls},
            {"decisions", cost.decisions},
            {"scores", cost.scores},
            {"looked_up", cost.looked_up},
            {"largest_entry", cost.largest_entry},
            {"smallest_threshold", cost.calls > 0 ? Json(cost.smallest_threshold) : Json(nullptr)},
            {"seconds", found.seconds}};
  if (checked) {
    json["outside"] = checked->outside;
    if (!task.within) json["nearest"] = checked->nearest;
  }
  return json;
}

std::string words_of(const Task& task, const Found& found, const std::optional<BruteForce>& checked) {
  const lab::NearestCost& cost = found.cost;
  const auto& [a, b] = task.data;
  std::string text = fmt::format("{} rows, {} keys, {} bits, ratio {:g}, shape {}", a.count(), b.count(), a.dimension(),
                                 task.options.ratio, name_of(task.options.shape));
  if (task.seed) text += fmt::format(", seed {}", *task.seed);
  text += fmt::format("\n{} decisions by attention in {} calls ({:.3g} scores)", cost.decisions, cost.calls,
                      static_cast<double>(cost.scores));
  if (cost.calls > 0) {
    text += fmt::format(", entries up to {:.4g}, thresholds from {:.4g}", cost.largest_entry, cost.smallest_threshold);
  }
  text += fmt::format("; {} looked up in a table; {:.3g} s\n", cost.looked_up, found.seconds);
  if (task.within) {
    text += fmt::format("{} rows answered 1\n", std::ranges::count(found.answers, 1));
  }
  if (checked) {
    text += fmt::format("brute force: {} rows outside", checked->outside);
    if (!task.within) text += fmt::format(", {} have the nearest itself", checked->nearest);
    text += '\n';
  }
  return text;
}

int run(int argc, char** argv) {
  NearestFlags flags;
  CLI::App app("Approximate Hamming nearest neighbours by attention (Alman and Song 2023, Lemma 4.7).",
               "polyattn lab nearest");
  declare(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;
  Task task = task_of(flags);
  const Found found = compute(task);
  std::optional<BruteForce> checked;
  if (flags.verify) checked = brute_force(task, found);
  const Json json = json_of(task, found, checked);
  Outputs files;
  if (flags.output) files.add_integers(*flags.output, found.answers);
  if (flags.json && *flags.json != "-") files.add_text(*flags.json, json_text(json));
  files.commit();
  print(flags.json == "-" ? json_text(json) : words_of(task, found, checked));
  return checked && checked->outside > 0 ? exit_outside : exit_done;
}

}  // namespace

constinit const Command lab_nearest_command{"nearest", "approximate Hamming nearest neighbours by attention", run};

}  // namespace polyattn::cli
