#pragma once

/// Sets of binary vectors from files.

#include "lab/bits.hpp"

#include <string>
#include <vector>

namespace polyattn::cli {

/// FILE.npy or FILE.safetensors:NAME of shape [n, d], of booleans, integers or floating-point numbers that are all 0
/// or 1. Throws Error (invalid_argument) naming the file and, where an entry is neither, which.
lab::BitVectors read_binary(const std::string& name);
/// Several, all of the dimension of the first. Error (invalid_argument) names the one that differs, too.
std::vector<lab::BitVectors> read_binaries(const std::vector<std::string>& names);

}  // namespace polyattn::cli
