// polyattn lab ov: three orthogonal vectors, found by order-3 attention; or what the protocol makes of them, written to
// files.

#include "command.hpp"
#include "exit_codes.hpp"
#include "io/staged_file.hpp"
#include "lab/commands.hpp"
#include "lab/oracle_flags.hpp"
#include "lab/protocol_sat.hpp"
#include "lab/three_ov_attention.hpp"
#include "lab/triples.hpp"
#include "progress_bar.hpp"
#include "results.hpp"
#include "signals.hpp"

#include <fmt/core.h>
#include <array>
#include <chrono>
#include <stdexcept>

namespace polyattn::cli {

namespace {

struct OvFlags {
  TripleFlags triples;
  OracleFlags oracle;
  std::optional<std::string> maxip, block, json;
  bool verify = false;
};

void declare(CLI::App& app, OvFlags& flags) {
  add_triple_flags(app, flags.triples);
  text_flag(
      app, "--write-maxip", flags.maxip, "PREFIX",
      "Instead of deciding: writes the sets of Gap-MaxIP that the protocol makes, PREFIX-a.npy, -b.npy and -c.npy");
  text_flag(app, "--block", flags.block, "N", "With --write-maxip: coordinates in a part of the universe (default 2)");
  add_oracle_flags(app, flags.oracle, "exact");
  app.add_flag("--verify", flags.verify, "Compare with brute force afterwards; exit code 1 if it says otherwise");
  text_flag(app, "--json", flags.json, "FILE", "The report as JSON; - for standard output");
  app.footer(
      "Examples:\n"
      "  polyattn lab ov a.npy b.npy c.npy\n"
      "  polyattn lab ov --generate 200 --dim 48 --ones 0.6 --seed 1 --verify\n"
      "  polyattn lab ov --generate 3 --dim 4 --write-maxip gap\n");
}

int write_maxip(const OvFlags& flags, const Triples& triples) {
  lab::ProtocolOptions options;
  if (flags.block) options.block = static_cast<int>(parse_integer("--block", *flags.block, 1, 100));
  const lab::ProtocolMaxIp maxip(triples.sets, lab::protocol_for(static_cast<int>(triples.sets.dimension()), options));
  const lab::GapMaxIp instance = maxip.materialised();
  const std::vector<std::string> names = triple_files(*flags.maxip);
  Outputs files;
  for (std::size_t s = 0; s < 3; ++s) {
    add_vectors(names[s], {instance.counts[s], instance.dimension}, instance.vector[s], files);
  }
  const Json json{{"schema", json_schema},           {"files", names},
                  {"counts", instance.counts},       {"dimension", instance.dimension},
                  {"threshold", instance.threshold}, {"gap", instance.gap},
                  {"messages", maxip.messages()}};
  if (flags.json && *flags.json != "-") files.add_text(*flags.json, json_text(json));
  files.commit();
  const std::string text = fmt::format(
      "{}, {} and {} vectors in {} dimensions; {} vectors of the first set for each of A\n"
      "polyattn lab maxip {} {} {} --threshold {} --gap {:.17g}\n",
      instance.counts[0], instance.counts[1], instance.counts[2], instance.dimension, maxip.messages(), names[0],
      names[1], names[2], instance.threshold, instance.gap);
  print(flags.json == "-" ? json_text(json) : text);
  return exit_done;
}

bool brute_force(const lab::ThreeOv& sets) {
  for (std::int64_t i = 0; i < sets.sets[0].count(); ++i) {
    stop_if_interrupted();
    for (std::int64_t j = 0; j < sets.sets[1].count(); ++j) {
      for (std::int64_t k = 0; k < sets.sets[2].count(); ++k) {
        if (lab::inner_product(sets, {i, j, k}) == 0) return true;
      }
    }
  }
  return false;
}

int decide(const OvFlags& flags, const Triples& triples) {
  const lab::Oracle oracle = lab::attention_oracle(oracle_options(flags.oracle, Engine::exact));
  const auto start = std::chrono::steady_clock::now();
  const lab::Search search = [&] {
    ProgressBar bar("rows");
    return lab::search(lab::direct_attention(triples.sets), oracle, bar.callback());
  }();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (search.found && lab::inner_product(triples.sets, *search.found) != 0) {
    throw std::logic_error("the oracle said yes to a triple that is not orthogonal: its error is not what it claims");
  }
  const std::optional<bool> truth = flags.verify ? std::optional(brute_force(triples.sets)) : std::nullopt;
  const bool outside = truth && *truth != search.found.has_value();
  const lab::SearchReport& report = search.report;
  Json json{{"schema", json_schema},
            {"triple", search.found ? Json(*search.found) : Json(nullptr)},
            {"seed", triples.seed ? Json(*triples.seed) : Json(nullptr)},
            {"rows", report.rows},
            {"rows_answered", report.rows_answered},
            {"calls", report.calls},
            {"tuples", report.tuples},
            {"dim", report.dim},
            {"threshold", report.decision.threshold},
            {"bound", report.absolute},
            {"engine", name_of(report.engine)},
            {"arithmetic", name_of(report.arithmetic)},
            {"seconds", seconds}};
  if (truth) json["outside"] = outside ? 1 : 0;
  std::string text = search.found ? fmt::format("orthogonal: A {}, B {}, C {} (from 0)\n", (*search.found)[0],
                                                (*search.found)[1], (*search.found)[2])
                                  : std::string("no three vectors are orthogonal\n");
  text += fmt::format("{} of {} rows over {} tuples each in {} dimensions, engine {}, error at most {:.3g}\n",
                      report.rows_answered, report.rows, report.tuples, report.dim, name_of(report.engine),
                      report.absolute);
  if (triples.seed) text += fmt::format("seed {}\n", *triples.seed);
  if (truth) text += outside ? "brute force says otherwise\n" : "brute force says the same\n";
  publish(flags.json, json, text);
  return outside ? exit_outside : exit_done;
}

int run(int argc, char** argv) {
  OvFlags flags;
  CLI::App app("Three orthogonal vectors, one of each set, by order-3 attention.", "polyattn lab ov");
  declare(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;
  if (flags.block && !flags.maxip) throw UsageError("--block needs --write-maxip");
  if (flags.verify && flags.maxip) throw UsageError("--verify does not go with --write-maxip");
  std::vector<std::string> outputs = file_outputs({flags.json});
  if (flags.maxip) {
    for (const std::string& file : triple_files(*flags.maxip)) outputs.push_back(file);
  }
  io::check_outputs(outputs, input_paths(flags.triples));
  const Triples triples = triples_of(flags.triples);
  return flags.maxip ? write_maxip(flags, triples) : decide(flags, triples);
}

}  // namespace

constinit const Command lab_ov_command{"ov", "three orthogonal vectors by order-3 attention", run};

}  // namespace polyattn::cli
