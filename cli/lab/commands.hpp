#pragma once

/// The commands under `polyattn lab`.

#include "command.hpp"

namespace polyattn::cli {

// extern const Command lab_NAME_command;
extern const Command lab_sat_command;
extern const Command lab_nearest_command;

}  // namespace polyattn::cli
