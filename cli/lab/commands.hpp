#pragma once

/// The commands under `polyattn lab`.

#include "command.hpp"

namespace polyattn::cli {

// extern const Command lab_NAME_command;
extern const Command lab_threshold_command;

}  // namespace polyattn::cli
