#include "io/tensor_file.hpp"

#include "io/npy.hpp"
#include "io/safetensors.hpp"

#include <memory>
#include <string_view>

namespace polyattn::io {

TensorName split_name(const std::string& name) {
  constexpr std::string_view extension = ".safetensors";
  if (name.ends_with(extension)) return {name, "", true};
  if (const std::size_t at = name.find(std::string(extension) + ":"); at != std::string::npos) {
    const std::size_t colon = at + extension.size();
    return {name.substr(0, colon), name.substr(colon + 1), true};
  }
  return {name, "", false};
}

StoredTensor read_tensor(const std::string& name, Role role) {
  const TensorName parts = split_name(name);
  const auto file = std::make_shared<const MappedFile>(parts.path);
  return parts.safetensors ? read_safetensors(file, parts.tensor, role) : read_npy(file, role);
}

}  // namespace polyattn::io
