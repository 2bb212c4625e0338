#pragma once

/// What the commands about three sets of binary vectors share: the sets, from files or drawn.

#include "command.hpp"
#include "lab/protocol_sat.hpp"
#include "lab/three_ov.hpp"
#include "results.hpp"

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace polyattn::cli {

struct TripleFlags {
  std::vector<std::string> files;
  std::optional<std::string> generate, dim, ones, seed;
};

void add_triple_flags(CLI::App& app, TripleFlags& flags);

struct Triples {
  lab::ThreeOv sets{{lab::BitVectors(0, 0), lab::BitVectors(0, 0), lab::BitVectors(0, 0)}};
  std::optional<std::uint64_t> seed;  ///< of drawn sets
};

/// Paths of the files, to be checked against outputs.
std::vector<std::string> input_paths(const TripleFlags& flags);
/// Throws UsageError; Error (invalid_argument) that names file and entry, or the file whose dimension differs.
Triples triples_of(const TripleFlags& flags);
/// PREFIX-a.npy, PREFIX-b.npy and PREFIX-c.npy.
std::vector<std::string> triple_files(const std::string& prefix);
/// Zeros and ones in float32, [count, dimension]. Throws Error (unsupported) if they are more than 2^28.
void add_vectors(const std::string& path, const std::array<std::int64_t, 2>& dims,
                 const std::function<void(std::int64_t index, std::span<float> out)>& vector, Outputs& files);
/// Of the flag --code.
lab::CodeFamily parse_code_family(const std::string& text);

}  // namespace polyattn::cli
