#pragma once

#include "polyattn/report.hpp"

#include <string>

namespace polyattn::planning {

/// "12.3 % of the predicted time of exact", of what the plan takes.
std::string share_of_exact(const HeadPlan& plan);

/// Makes an approximate engine's candidate that certifies the tolerance the plan's choice in place of the present one.
/// `what` it is goes into that one's reason, `how` it does it into the plan's.
void choose(HeadPlan& plan, Candidate candidate, const std::string& what, const std::string& how);

/// Makes the cheapest usable candidate of the engine that was asked for the plan's choice. Throws Error (not_reachable)
/// if there is none.
void choose_cheapest(HeadPlan& plan, Engine asked);

/// From predictions of one thread to those of several: all engines share their work out well.
void spread_over_threads(HeadPlan& plan, int threads) noexcept;

}  // namespace polyattn::planning
