#pragma once

/// Tensors as the user names them: FILE.npy, or FILE.safetensors:NAME.

#include "io/stored_tensor.hpp"

#include <string>

namespace polyattn::io {

struct TensorName {
  std::string path;
  std::string tensor;        ///< in a .safetensors file; empty if none was given
  bool safetensors = false;  ///< else .npy
};

/// "a/b.safetensors:x.y" is the tensor "x.y" in "a/b.safetensors"; names without .safetensors are .npy files.
TensorName split_name(const std::string& name);

/// Maps the file and finds the tensor in it. Throws Error (invalid_argument) naming the file and what is wrong with it.
StoredTensor read_tensor(const std::string& name, Role role);

}  // namespace polyattn::io
