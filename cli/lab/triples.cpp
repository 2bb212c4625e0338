#include "lab/triples.hpp"

#include "io/tensor_file.hpp"
#include "lab/binary_file.hpp"
#include "lab/instances.hpp"
#include "polyattn/error.hpp"
#include "problem.hpp"
#include "signals.hpp"
#include "verification.hpp"

#include <fmt/core.h>

namespace polyattn::cli {

void add_triple_flags(CLI::App& app, TripleFlags& flags) {
  app.add_option("files", flags.files, "A, B and C, sets of binary vectors, [n, d] each with its own n")
      ->type_name("FILE FILE FILE");
  text_flag(app, "--generate", flags.generate, "N", "Instead of files: N random vectors in each set");
  text_flag(app, "--dim", flags.dim, "D", "With --generate: bits (default 32)");
  text_flag(app, "--ones", flags.ones, "P", "With --generate: probability of a one (default 0.5)");
  text_flag(app, "--seed", flags.seed, "S", "With --generate (default: a random one, reported)");
}

std::vector<std::string> input_paths(const TripleFlags& flags) {
  std::vector<std::string> paths;
  paths.reserve(flags.files.size());
  for (const std::string& file : flags.files) paths.push_back(io::split_name(file).path);
  return paths;
}

Triples triples_of(const TripleFlags& flags) {
  if (flags.files.size() != (flags.generate ? 0U : 3U)) {
    throw UsageError("expected the files A, B and C, or --generate and no file");
  }
  Triples triples;
  if (flags.generate) {
    const std::int64_t count = parse_integer("--generate", *flags.generate, 1, 1 << 16);
    const std::int64_t dim = flags.dim ? parse_integer("--dim", *flags.dim, 0, 1 << 16) : 32;
    const double ones = flags.ones ? parse_real("--ones", *flags.ones) : 0.5;
    if (!(ones >= 0.0 && ones <= 1.0)) refuse_flag("--ones", *flags.ones, "a probability from 0 to 1");
    triples.seed = flags.seed ? parse_unsigned("--seed", *flags.seed) : random_seed();
    triples.sets = lab::random_three_ov(count, dim, ones, *triples.seed);
    return triples;
  }
  if (flags.dim || flags.ones || flags.seed) throw UsageError("--dim, --ones and --seed need --generate");
  std::vector<lab::BitVectors> sets = read_binaries(flags.files);
  for (std::size_t s = 0; s < 3; ++s) {
    triples.sets.sets[s] = std::move(sets[s]);
    if (triples.sets.sets[s].count() == 0) {
      throw Error(ErrorCode::invalid_argument, flags.files[s] + ": expected at least one vector, got none");
    }
  }
  return triples;
}

std::vector<std::string> triple_files(const std::string& prefix) {
  return {prefix + "-a.npy", prefix + "-b.npy", prefix + "-c.npy"};
}

void add_vectors(const std::string& path, const std::array<std::int64_t, 2>& dims,
                 const std::function<void(std::int64_t index, std::span<float> out)>& vector, Outputs& files) {
  constexpr double most_numbers = 0x1p28;
  if (static_cast<double>(dims[0]) * static_cast<double>(dims[1]) > most_numbers) {
    throw Error(ErrorCode::unsupported,
                fmt::format("{}: expected at most 2^28 numbers, got {} x {}", path, dims[0], dims[1]));
  }
  const auto row = static_cast<std::size_t>(dims[1]);
  std::vector<float> numbers(static_cast<std::size_t>(dims[0]) * row);
  for (std::int64_t i = 0; i < dims[0]; ++i) {
    stop_if_interrupted();
    vector(i, std::span(numbers).subspan(static_cast<std::size_t>(i) * row, row));
  }
  files.add_array(path, DType::float32, dims, numbers.data());
}

lab::CodeFamily parse_code_family(const std::string& text) {
  return parse_choice<lab::CodeFamily>(
      "--code", text, {{"reed-solomon", lab::CodeFamily::reed_solomon}, {"hermitian", lab::CodeFamily::hermitian}});
}

}  // namespace polyattn::cli
