#pragma once

#include "polyattn/report.hpp"

#include <string>

namespace polyattn::planning {

/// "12.3 % of the predicted time of exact", of what the plan takes.
std::string share_of_exact(const HeadPlan& plan);

/// Makes an approximate engine's candidate that certifies the tolerance the plan's choice in place of the present one.
/// `what` it is goes into that one's reason, `how` it does it into the plan's.
void choose(HeadPlan& plan, Candidate candidate, const std::string& what, const std::string& how);

}  // namespace polyattn::planning
