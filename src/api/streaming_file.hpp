#pragma once

/// Bytes from and into files.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace polyattn::api {

/// All bytes of a file. Throws Error (invalid_argument), naming the file and what is wrong with it.
std::vector<std::byte> read_file(const std::string& path);

/// Writes a file of another name in the same folder and renames it, so that `path` is the old file or the whole new
/// one. Throws Error (invalid_argument) and leaves nothing behind.
void write_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace polyattn::api
