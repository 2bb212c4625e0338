#pragma once

/// Sets of binary vectors from files.

#include "lab/bits.hpp"

#include <string>

namespace polyattn::cli {

/// FILE.npy or FILE.safetensors:NAME of shape [n, d], of booleans, integers or floating-point numbers that are all 0
/// or 1. Throws Error (invalid_argument) naming the file and, where an entry is neither, which.
lab::BitVectors read_binary(const std::string& name);

}  // namespace polyattn::cli
