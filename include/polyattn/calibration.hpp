#pragma once

/// The speeds of this machine, for the planner's cost model.

#include "polyattn/export.hpp"
#include "polyattn/options.hpp"

namespace polyattn {

/// Times short calls of the exact and the polynomial engine on one thread, in both arithmetics, and a pass over memory:
/// about 0.2 s, 64 MiB. Meant to be called once and kept; a busy machine gives smaller numbers. With the result as
/// Options::calibration the plan, and with it the bits of an answer, depends on the machine and on the day.
/// Throws std::bad_alloc.
[[nodiscard]] POLYATTN_EXPORT Calibration measure_calibration();

}  // namespace polyattn
