#pragma once

/// The commands under `polyattn lab`.

#include "command.hpp"

namespace polyattn::cli {

extern const Command lab_sat_command;
extern const Command lab_ov_command;
extern const Command lab_disjoint_command;
extern const Command lab_maxip_command;
extern const Command lab_nearest_command;
extern const Command lab_threshold_command;

}  // namespace polyattn::cli
