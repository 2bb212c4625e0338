// polyattn lab sat: a formula in DIMACS format, or a random one, decided by order-3 attention, on its 3-OV instance or
// through the whole chain of [AS24].

#include "lab/sat.hpp"
#include "command.hpp"
#include "exit_codes.hpp"
#include "io/mapped_file.hpp"
#include "io/staged_file.hpp"
#include "lab/commands.hpp"
#include "lab/formulas.hpp"
#include "lab/oracle_flags.hpp"
#include "lab/protocol_sat.hpp"
#include "lab/triples.hpp"
#include "progress_bar.hpp"
#include "results.hpp"

#include <fmt/core.h>
#include <chrono>
#include <cmath>

namespace polyattn::cli {

namespace {

struct SatFlags {
  std::optional<std::string> file, generate, length, ratio, seed, output, ov;
  std::optional<std::string> via, shape, code, block;
  bool in_full = false;
  OracleFlags oracle;
  std::optional<std::string> json;
};

void declare(CLI::App& app, SatFlags& flags) {
  app.add_option_function<std::string>(
         "file", [&flags](const std::string& given) { flags.file = given; },
         "A formula in DIMACS CNF, with up to 36 variables")
      ->type_name("FILE.cnf");
  text_flag(app, "--generate", flags.generate, "N", "Instead of a file: a random formula with N variables");
  text_flag(app, "--clause-length", flags.length, "K", "With --generate: literals in a clause (default 3)");
  text_flag(app, "--ratio", flags.ratio, "R", "With --generate: clauses for each variable (default 4.26)");
  text_flag(app, "--seed", flags.seed, "S", "With --generate: another number, another formula (default 0)");
  text_flag(app, "-o,--output", flags.output, "FILE.cnf", "Writes the formula");
  text_flag(app, "--write-ov", flags.ov, "PREFIX", "Writes the lists of 3-OV: PREFIX-a.npy, -b.npy and -c.npy");
  text_flag(
      app, "--via", flags.via, "WAY",
      "direct (default): attention on the 3-OV instance; protocol: through the Merlin-Arthur protocol and Gap-MaxIP");
  text_flag(app, "--shape", flags.shape, "SHAPE",
            "With --via protocol: pad (default), one pad at the threshold, where constant accuracy decides; or paper");
  text_flag(app, "--code", flags.code, "CODE", "With --via protocol: reed-solomon (default) or hermitian");
  text_flag(app, "--block", flags.block, "N", "With --via protocol: clauses in a part of the universe (default 2)");
  app.add_flag("--in-full", flags.in_full, "With --via protocol: all coordinates of the vectors, up to 2^22");
  add_oracle_flags(app, flags.oracle, "exact; auto for --shape paper");
  text_flag(app, "--json", flags.json, "FILE", "The report as JSON; - for standard output");
  app.footer(
      "Prints 's SATISFIABLE' and a model in lines 'v ...', or 's UNSATISFIABLE', as solvers in competitions do.\n"
      "The exit code is 0 for both. Nothing but outputs of attention, and their proved bounds, decides.\n\n"
      "Examples:\n"
      "  polyattn lab sat formula.cnf\n"
      "  polyattn lab sat --generate 24 --seed 7 -o random.cnf --json -\n"
      "  polyattn lab sat --generate 6 --ratio 1.3 --via protocol\n");
}

lab::Cnf generated(const SatFlags& flags) {
  const auto variables = static_cast<int>(parse_integer("--generate", *flags.generate, 1, lab::most_split_variables));
  const auto length =
      flags.length ? static_cast<int>(parse_integer("--clause-length", *flags.length, 1, variables)) : 3;
  if (length > variables) throw UsageError(fmt::format("--clause-length {}: expected at most --generate", length));
  const double ratio = flags.ratio ? parse_real("--ratio", *flags.ratio) : 4.26;
  if (!(ratio >= 0.0 && ratio <= 1e5)) refuse_flag("--ratio", *flags.ratio, "a number from 0 to 100000");
  const std::uint64_t seed = flags.seed ? parse_unsigned("--seed", *flags.seed) : 0;
  return lab::random_ksat(variables, std::llround(ratio * variables), length, seed);
}

lab::Cnf formula_of(const SatFlags& flags) {
  if (flags.file.has_value() == flags.generate.has_value()) {
    throw UsageError("lab sat needs either a file FILE.cnf or --generate N");
  }
  if (flags.generate) return generated(flags);
  for (const auto& [flag, name] : {std::pair{&flags.length, "--clause-length"}, std::pair{&flags.ratio, "--ratio"},
                                   std::pair{&flags.seed, "--seed"}}) {
    if (*flag) throw UsageError(fmt::format("{} needs --generate", name));
  }
  const io::MappedFile file(*flags.file);
  const auto* text = reinterpret_cast<const char*>(file.bytes().data());
  return lab::read_dimacs({text, file.bytes().size()}, *flags.file, lab::most_split_variables);
}

/// Set if --via protocol was given.
std::optional<lab::ProtocolOptions> protocol_options(const SatFlags& flags) {
  const bool protocol = flags.via && parse_choice<bool>("--via", *flags.via, {{"direct", false}, {"protocol", true}});
  if (!protocol) {
    if (flags.shape || flags.code || flags.block || flags.in_full) {
      throw UsageError("--shape, --code, --block and --in-full need --via protocol");
    }
    return std::nullopt;
  }
  lab::ProtocolOptions options;
  if (flags.shape) {
    options.shape =
        parse_choice<lab::Shape>("--shape", *flags.shape, {{"pad", lab::Shape::pad}, {"paper", lab::Shape::paper}});
  }
  if (flags.code) options.family = parse_code_family(*flags.code);
  if (flags.block) options.block = static_cast<int>(parse_integer("--block", *flags.block, 1, 100));
  options.in_full = flags.in_full;
  return options;
}

/// Exact counts tuples below 2^-90 of the largest as lost; in the paper's shape they may decide, and automatic goes
/// further.
Engine usual_engine(const std::optional<lab::ProtocolOptions>& protocol) {
  return protocol && protocol->shape == lab::Shape::paper ? Engine::automatic : Engine::exact;
}

Json to_json(const lab::Cnf& formula, const lab::SatAnswer& answer, double seconds) {
  const lab::SearchReport& search = answer.search;
  Json model = nullptr;
  if (answer.model) {
    model = Json::array();
    for (std::size_t v = 0; v < answer.model->size(); ++v) {
      const int variable = static_cast<int>(v) + 1;
      model.push_back((*answer.model)[v] ? variable : -variable);
    }
  }
  return {{"schema", json_schema},
          {"satisfiable", answer.model.has_value()},
          {"model", model},
          {"variables", formula.variables},
          {"clauses", formula.clauses.size()},
          {"clauses_kept", answer.clauses},
          {"lists", answer.lists},
          {"rows", search.rows},
          {"rows_answered", search.rows_answered},
          {"calls", search.calls},
          {"tuples", search.tuples},
          {"dim", search.dim},
          {"low", search.decision.low},
          {"high", search.decision.high},
          {"threshold", search.decision.threshold},
          {"bound", search.absolute},
          {"relative", search.relative},
          {"engine", name_of(search.engine)},
          {"arithmetic", name_of(search.arithmetic)},
          {"seconds", seconds}};
}

Json to_json(const lab::ProtocolReport& report) {
  return {{"code", report.code},
          {"field", report.field},
          {"parts", report.parts},
          {"block", report.block},
          {"length", report.length},
          {"messages", report.messages},
          {"dimension", report.dimension},
          {"coordinates", report.coordinates},
          {"in_full", report.in_full},
          {"gap", report.gap},
          {"shape", name_of(report.shape)},
          {"entry", report.entry},
          {"merlin_bits", report.communication.merlin},
          {"coin_bits", report.communication.coins},
          {"bob_bits", report.communication.bob},
          {"charlie_bits", report.communication.charlie}};
}

std::string words(const lab::ProtocolReport& report) {
  return fmt::format(
      "c protocol: {} parts of {} clauses, {} code of length {} over F_{}, {} words of Merlin's; bits: Merlin {}, "
      "coins {}, "
      "Bob {}, Charlie {}\n"
      "c Gap-MaxIP: {:.6g} dimensions, {} coordinates used, threshold {}, gap {:.4g}; entries up to {:.4g}, {} shape\n",
      report.parts, report.block, report.code, report.length, report.field, report.messages,
      report.communication.merlin, report.communication.coins, report.communication.bob, report.communication.charlie,
      report.dimension, report.coordinates, report.length, report.gap, report.entry, name_of(report.shape));
}

std::string words(const lab::SatAnswer& answer) {
  const lab::SearchReport& search = answer.search;
  std::string text =
      fmt::format("c {} clauses; lists of {}, {} and {} vectors; attention of order 3 in {} dimensions\n",
                  answer.clauses, answer.lists[0], answer.lists[1], answer.lists[2], search.dim);
  if (search.calls > 0) {
    const bool relative = search.decision.relative;
    text += fmt::format(
        "c {} of {} rows over {} tuples each, {} calls of engine {} in {}\n"
        "c yes if the output is above {:.4g}; its error is at most {:.3g}{} as proved, {:.3g} would do\n",
        search.rows_answered, search.rows, search.tuples, search.calls, name_of(search.engine),
        name_of(search.arithmetic), search.decision.threshold, relative ? search.relative : search.absolute,
        relative ? " times the output" : "", relative ? search.decision.relative_margin() : search.decision.margin());
  }
  text += answer.model ? "s SATISFIABLE\n" : "s UNSATISFIABLE\n";
  if (!answer.model) return text;
  constexpr std::size_t a_line = 12;
  for (std::size_t v = 0; v < answer.model->size(); ++v) {
    const int variable = static_cast<int>(v) + 1;
    text += fmt::format("{}{}", v % a_line == 0 ? (v == 0 ? "v " : "\nv ") : " ",
                        (*answer.model)[v] ? variable : -variable);
  }
  return text + (answer.model->empty() ? "v 0\n" : " 0\n");
}

lab::ProtocolAnswer solve(const lab::Cnf& formula, const Options& options,
                          const std::optional<lab::ProtocolOptions>& protocol) {
  ProgressBar bar("rows");
  const lab::Oracle oracle = lab::attention_oracle(options);
  if (protocol) return lab::solve_sat_via_protocol(formula, oracle, *protocol, bar.callback());
  return {lab::solve_sat(formula, oracle, bar.callback()), {}};
}

/// The lists of 3-OV, in three files.
void add_lists(const std::string& prefix, const lab::Cnf& formula, Outputs& files) {
  const lab::Cnf simple = lab::simplified(formula);
  const lab::ThreeOv lists = lab::list(simple, lab::split(simple));
  const std::vector<std::string> names = triple_files(prefix);
  for (std::size_t s = 0; s < 3; ++s) {
    const lab::BitVectors& list = lists.sets[s];
    const auto write = [&list](std::int64_t i, std::span<float> out) {
      for (std::size_t l = 0; l < out.size(); ++l) out[l] = list.get(i, static_cast<std::int64_t>(l)) ? 1.0F : 0.0F;
    };
    add_vectors(names[s], {list.count(), list.dimension()}, write, files);
  }
}

int run(int argc, char** argv) {
  SatFlags flags;
  CLI::App app("Decides a formula by attention over triples of partial assignments, and finds a model.",
               "polyattn lab sat");
  declare(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;
  const std::optional<lab::ProtocolOptions> protocol = protocol_options(flags);
  const Options options = oracle_options(flags.oracle, usual_engine(protocol));
  std::vector<std::string> outputs = file_outputs({flags.json, flags.output});
  if (flags.ov) {
    for (const std::string& file : triple_files(*flags.ov)) outputs.push_back(file);
  }
  io::check_outputs(outputs, flags.file ? std::vector<std::string>{*flags.file} : std::vector<std::string>{});
  const lab::Cnf formula = formula_of(flags);

  const auto start = std::chrono::steady_clock::now();
  const lab::ProtocolAnswer answer = solve(formula, options, protocol);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  Json json = to_json(formula, answer.sat, seconds);
  json["via"] = protocol ? "protocol" : "direct";
  if (protocol) json["protocol"] = to_json(answer.protocol);
  Outputs files;
  if (flags.ov) add_lists(*flags.ov, formula, files);
  if (flags.output) files.add_text(*flags.output, lab::write_dimacs(formula));
  if (flags.json && *flags.json != "-") files.add_text(*flags.json, json_text(json));
  files.commit();
  print(flags.json == "-" ? json_text(json) : (protocol ? words(answer.protocol) : "") + words(answer.sat));
  return exit_done;
}

}  // namespace

constinit const Command lab_sat_command{"sat", "decide a formula by order-3 attention", run};

}  // namespace polyattn::cli
