// polyattn lab maxip: Gap-MaxIP by order-3 attention, in both shapes of Lemma B.1.

#include "lab/gap_maxip.hpp"

#include "command.hpp"
#include "exit_codes.hpp"
#include "io/staged_file.hpp"
#include "lab/commands.hpp"
#include "lab/oracle_flags.hpp"
#include "lab/triple_search.hpp"
#include "lab/triples.hpp"
#include "progress_bar.hpp"
#include "results.hpp"
#include "signals.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <chrono>
#include <cmath>

namespace polyattn::cli {

namespace {

struct MaxIpFlags {
  TripleFlags triples;
  OracleFlags oracle;
  std::optional<std::string> threshold, gap, shape, output, json;
  bool verify = false;
};

void declare(CLI::App& app, MaxIpFlags& flags) {
  add_triple_flags(app, flags.triples);
  text_flag(app, "--threshold", flags.threshold, "T", "Rows of A with a pair of inner product T or more say yes");
  text_flag(app, "--gap", flags.gap, "EPS",
            "Rows all of whose inner products are (1 - EPS) T or less say no (default 0.5)");
  text_flag(app, "--shape", flags.shape, "SHAPE",
            "pad: one pad at the threshold, errors below 1/8 are borne (default); paper: as Lemma B.1 has it");
  add_oracle_flags(app, flags.oracle, "exact; auto for --shape paper");
  text_flag(app, "-o,--output", flags.output, "OUT", "1 for rows that say yes, 0 for the others: .npy, int64 [n]");
  app.add_flag("--verify", flags.verify, "Compare with brute force afterwards; exit code 1 if a row is outside");
  text_flag(app, "--json", flags.json, "FILE", "The report as JSON; - for standard output");
  app.footer(
      "Examples:\n"
      "  polyattn lab maxip a.npy b.npy c.npy --threshold 7 --gap 0.5 -o yes.npy\n"
      "  polyattn lab maxip --generate 60 --dim 24 --threshold 8 --seed 1 --verify\n"
      "  polyattn lab maxip --generate 20 --dim 12 --ones 0.7 --threshold 6 --shape paper --verify\n");
}

/// Rows whose answer brute force contradicts.
std::int64_t outside(const lab::ThreeOv& sets, const lab::GapMaxIp& instance, const std::vector<bool>& decided) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < sets.sets[0].count(); ++i) {
    stop_if_interrupted();
    std::int64_t most = 0;
    for (std::int64_t j = 0; j < sets.sets[1].count(); ++j) {
      for (std::int64_t k = 0; k < sets.sets[2].count(); ++k) {
        most = std::max(most, lab::inner_product(sets, {i, j, k}));
      }
    }
    const bool yes = decided[static_cast<std::size_t>(i)];
    const double low = (1.0 - instance.gap) * static_cast<double>(instance.threshold);
    count += yes ? (static_cast<double>(most) <= low ? 1 : 0) : (most >= instance.threshold ? 1 : 0);
  }
  return count;
}

struct Asked {
  std::int64_t threshold = 1;
  double gap = 0.5;
  lab::Shape shape = lab::Shape::pad;
};

Asked asked(const MaxIpFlags& flags) {
  if (!flags.threshold) throw UsageError("lab maxip needs --threshold T");
  Asked what;
  what.threshold = parse_integer("--threshold", *flags.threshold, 1, 1 << 16);
  if (flags.gap) what.gap = parse_real("--gap", *flags.gap);
  if (!(what.gap > 0.0 && what.gap <= 1.0)) refuse_flag("--gap", *flags.gap, "a number above 0 and at most 1");
  if (flags.shape) {
    what.shape =
        parse_choice<lab::Shape>("--shape", *flags.shape, {{"pad", lab::Shape::pad}, {"paper", lab::Shape::paper}});
  }
  return what;
}

struct Decided {
  std::vector<std::int64_t> answers;
  lab::SearchReport report;
  double beta = 0.0;
  double seconds = 0.0;
  std::int64_t outside = 0;  ///< 0 unless verified
};

Decided decide(const MaxIpFlags& flags, const Asked& what, const Triples& triples, const Options& options) {
  const lab::GapMaxIp instance = lab::gap_maxip(triples.sets.sets, what.threshold, what.gap);
  const auto start = std::chrono::steady_clock::now();
  Decided result;
  const std::vector<bool> decided = [&] {
    ProgressBar bar("rows");
    return lab::decide_rows(lab::maxip_attention(instance, what.shape), lab::attention_oracle(options), bar.callback(),
                            &result.report);
  }();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.beta = lab::least_beta(instance, what.shape);
  result.answers.assign(decided.begin(), decided.end());
  if (flags.verify) result.outside = outside(triples.sets, instance, decided);
  return result;
}

Json to_json(const MaxIpFlags& flags, const Asked& what, const Triples& triples, const Decided& decided) {
  const lab::SearchReport& report = decided.report;
  Json json{{"schema", json_schema},
            {"rows", report.rows},
            {"yes", std::ranges::count(decided.answers, 1)},
            {"seed", triples.seed ? Json(*triples.seed) : Json(nullptr)},
            {"threshold", what.threshold},
            {"gap", what.gap},
            {"shape", name_of(what.shape)},
            {"beta", decided.beta},
            {"entry", std::cbrt(decided.beta)},
            {"low", report.decision.low},
            {"high", report.decision.high},
            {"calls", report.calls},
            {"tuples", report.tuples},
            {"dim", report.dim},
            {"bound", report.absolute},
            {"relative", report.relative},
            {"engine", name_of(report.engine)},
            {"arithmetic", name_of(report.arithmetic)},
            {"seconds", decided.seconds}};
  if (flags.verify) json["outside"] = decided.outside;
  return json;
}

std::string words(const MaxIpFlags& flags, const Asked& what, const Triples& triples, const Decided& decided) {
  const lab::SearchReport& report = decided.report;
  const bool relative = report.decision.relative;
  std::string text = fmt::format(
      "{} of {} rows say yes: outputs of {:.4g} or more, the others {:.4g} or less\n"
      "{} shape, entries up to {:.4g}, {} tuples in {} dimensions, engine {}, error at most {:.3g}{}\n",
      std::ranges::count(decided.answers, 1), report.rows, report.decision.high, report.decision.low,
      name_of(what.shape), std::cbrt(decided.beta), report.tuples, report.dim, name_of(report.engine),
      relative ? report.relative : report.absolute, relative ? " times the output" : "");
  if (triples.seed) text += fmt::format("seed {}\n", *triples.seed);
  if (flags.verify) text += fmt::format("brute force: {} rows outside\n", decided.outside);
  return text;
}

int run(int argc, char** argv) {
  MaxIpFlags flags;
  CLI::App app("Gap-MaxIP by order-3 attention (Alman and Song 2024, Lemma B.1).", "polyattn lab maxip");
  declare(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;
  const Asked what = asked(flags);
  const Options options =
      oracle_options(flags.oracle, what.shape == lab::Shape::paper ? Engine::automatic : Engine::exact);
  io::check_outputs(file_outputs({flags.json, flags.output}), input_paths(flags.triples));
  const Triples triples = triples_of(flags.triples);
  const Decided decided = decide(flags, what, triples, options);
  const Json json = to_json(flags, what, triples, decided);
  Outputs files;
  if (flags.output) files.add_integers(*flags.output, decided.answers);
  if (flags.json && *flags.json != "-") files.add_text(*flags.json, json_text(json));
  files.commit();
  print(flags.json == "-" ? json_text(json) : words(flags, what, triples, decided));
  return decided.outside > 0 ? exit_outside : exit_done;
}

}  // namespace

constinit const Command lab_maxip_command{"maxip", "triples of large inner product by order-3 attention", run};

}  // namespace polyattn::cli
