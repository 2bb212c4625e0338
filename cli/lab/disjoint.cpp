// polyattn lab disjoint: the Merlin-Arthur protocol for three-way set disjointness, run on sets from files or drawn.

#include "lab/disjointness.hpp"

#include "command.hpp"
#include "exit_codes.hpp"
#include "io/staged_file.hpp"
#include "lab/commands.hpp"
#include "lab/protocol_sat.hpp"
#include "lab/triples.hpp"
#include "polyattn/error.hpp"
#include "results.hpp"
#include "signals.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <array>
#include <cmath>

namespace polyattn::cli {

namespace {

struct DisjointFlags {
  TripleFlags triples;
  std::optional<std::string> block, code, tries, json;
};

void declare(CLI::App& app, DisjointFlags& flags) {
  add_triple_flags(app, flags.triples);
  text_flag(app, "--code", flags.code, "CODE", "reed-solomon (default) or hermitian");
  text_flag(app, "--block", flags.block, "N", "Elements in a part of the universe (default 2)");
  text_flag(app, "--tries", flags.tries, "N", "Words a cheating Merlin tries where sets meet (default 20)");
  text_flag(app, "--json", flags.json, "FILE", "The report as JSON; - for standard output");
  app.footer(
      "Row i of A, B and C are the sets of Alice, Bob and Charlie in run i; the files have as many rows.\n"
      "Where no element is in all three an honest Merlin answers, elsewhere one that cheats as well as it can.\n"
      "Exit code 1 if an honest word is refused or a cheating one passes more often than the protocol allows.\n\n"
      "Examples:\n"
      "  polyattn lab disjoint a.npy b.npy c.npy --block 4\n"
      "  polyattn lab disjoint --generate 50 --dim 40 --ones 0.3 --seed 1 --block 5\n");
}

struct Runs {
  std::int64_t disjoint = 0;   ///< runs in which no element is in all three sets
  std::int64_t refused = 0;    ///< honest words that do not pass everywhere
  std::int64_t meeting = 0;    ///< other runs
  std::int64_t most = 0;       ///< most places at which a cheating word passes
  std::int64_t too_often = 0;  ///< cheating words above the soundness
};

std::vector<bool> set_of(const lab::BitVectors& vectors, std::int64_t i) {
  std::vector<bool> set(static_cast<std::size_t>(vectors.dimension()));
  for (std::size_t l = 0; l < set.size(); ++l) set[l] = vectors.get(i, static_cast<std::int64_t>(l));
  return set;
}

Runs run_all(const lab::Disjointness& protocol, const lab::ThreeOv& sets, int tries) {
  Runs runs;
  std::mt19937_64 random(1);
  const auto allowed = std::lround(protocol.soundness() * protocol.length());
  for (std::int64_t i = 0; i < sets.sets[0].count(); ++i) {
    stop_if_interrupted();
    const lab::Disjointness::Encoded alice = protocol.encode(set_of(sets.sets[0], i));
    const lab::Disjointness::Encoded bob = protocol.encode(set_of(sets.sets[1], i));
    const lab::Disjointness::Encoded charlie = protocol.encode(set_of(sets.sets[2], i));
    const lab::Word mu = protocol.honest(alice, bob, charlie);
    if (lab::inner_product(sets, {i, i, i}) == 0) {
      ++runs.disjoint;
      runs.refused += protocol.accepting_places(mu, alice, bob, charlie) == protocol.length() ? 0 : 1;
      continue;
    }
    ++runs.meeting;
    const std::int64_t places = protocol.accepting_places(protocol.cheat(mu, tries, random), alice, bob, charlie);
    runs.most = std::max(runs.most, places);
    runs.too_often += places > allowed ? 1 : 0;
  }
  return runs;
}

Json to_json(const lab::Disjointness& protocol, const Triples& triples, const Runs& runs) {
  const lab::Communication sent = protocol.communication();
  return {{"schema", json_schema},
          {"universe", protocol.universe()},
          {"code", protocol.codes().name},
          {"field", protocol.field().size()},
          {"parts", protocol.parts()},
          {"block", protocol.block()},
          {"length", protocol.length()},
          {"distance", protocol.codes().product.distance()},
          {"soundness", protocol.soundness()},
          {"seed", triples.seed ? Json(*triples.seed) : Json(nullptr)},
          {"disjoint", runs.disjoint},
          {"refused", runs.refused},
          {"meeting", runs.meeting},
          {"most_places", runs.most},
          {"too_often", runs.too_often},
          {"merlin_bits", sent.merlin},
          {"coin_bits", sent.coins},
          {"bob_bits", sent.bob},
          {"charlie_bits", sent.charlie}};
}

std::string words(const lab::Disjointness& protocol, const Triples& triples, const Runs& runs) {
  const lab::Communication sent = protocol.communication();
  std::string text = fmt::format(
      "{} elements in {} parts of {}; {} code of length {} over F_{}, soundness {:.4g}\n"
      "bits: Merlin {}, coins {}, Bob {}, Charlie {}\n"
      "{} runs without a common element: {} honest words refused\n"
      "{} runs with one: cheating words pass at {} places of {} at most, {} are allowed\n",
      protocol.universe(), protocol.parts(), protocol.block(), protocol.codes().name, protocol.length(),
      protocol.field().size(), protocol.soundness(), sent.merlin, sent.coins, sent.bob, sent.charlie, runs.disjoint,
      runs.refused, runs.meeting, runs.most, protocol.length(), std::lround(protocol.soundness() * protocol.length()));
  if (triples.seed) text += fmt::format("seed {}\n", *triples.seed);
  return text;
}

int run(int argc, char** argv) {
  DisjointFlags flags;
  CLI::App app("The Merlin-Arthur protocol for three-way set disjointness (Alman and Song 2024, Theorem 4.5).",
               "polyattn lab disjoint");
  declare(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;
  lab::ProtocolOptions options;
  if (flags.block) options.block = static_cast<int>(parse_integer("--block", *flags.block, 1, 100));
  if (flags.code) options.family = parse_code_family(*flags.code);
  const int tries = flags.tries ? static_cast<int>(parse_integer("--tries", *flags.tries, 1, 100'000)) : 20;
  io::check_outputs(file_outputs({flags.json}), input_paths(flags.triples));
  const Triples triples = triples_of(flags.triples);
  const std::int64_t count = triples.sets.sets[0].count();
  for (std::size_t s = 1; s < 3; ++s) {
    if (triples.sets.sets[s].count() != count) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: expected {} rows as in {}, got {}", flags.triples.files[s], count,
                              flags.triples.files[0], triples.sets.sets[s].count()));
    }
  }
  const lab::Disjointness protocol = lab::protocol_for(static_cast<int>(triples.sets.dimension()), options);
  const Runs runs = run_all(protocol, triples.sets, tries);
  publish(flags.json, to_json(protocol, triples, runs), words(protocol, triples, runs));
  return runs.refused + runs.too_often > 0 ? exit_outside : exit_done;
}

}  // namespace

constinit const Command lab_disjoint_command{"disjoint", "the Merlin-Arthur protocol for disjoint sets", run};

}  // namespace polyattn::cli
