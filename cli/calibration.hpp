#pragma once

/// Where the cost model's speeds come from: nowhere (the same choices on every machine), a file, or this machine,
/// measured once and kept.

#include "results.hpp"

#include <optional>
#include <string>

namespace polyattn::cli {

/// What a calibration is of: another processor, instruction set or version has other speeds.
struct CalibrationKey {
  std::string processor, instruction_set, version;
};
/// Of this machine and program.
CalibrationKey calibration_key();

/// $XDG_CACHE_HOME/polyattn/calibration.json, or ~/.cache/polyattn/calibration.json; empty if neither is known.
std::string calibration_cache();

/// {"schema", "processor", "instruction_set", "version", "calibration": {...}}.
Json to_json(const Calibration& calibration, const CalibrationKey& key);
/// The calibration of such a file. Throws Error (invalid_argument) if it cannot be read or holds none. With `key`:
/// nothing if the file is another's.
std::optional<Calibration> read_calibration(const std::string& path, const CalibrationKey* key);

/// Of this machine: from the cache, or measured and put there if that can be written.
Calibration machine_calibration();

/// Of the flag --calibration: none (the default), auto, or a file.
std::optional<Calibration> calibration_of(const std::optional<std::string>& flag);

}  // namespace polyattn::cli
