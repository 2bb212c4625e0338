#pragma once

/// What the planner's choice costs beside the best one: the automatic choice, planning included, timed in turns with
/// every other that certifies the tolerance.

#include "polynomial/regret_problems.hpp"
#include "support/driver.hpp"

#include <string>
#include <vector>

namespace polyattn::bench::polynomial {

/// A case for each problem, with --quick for every tenth. The problems outlive the cases.
void declare_regret(const std::vector<RegretProblem>& problems);

/// Over all cases: how many, shares within 1.10 and, where exact is best, within 1.05, the worst and the median.
void add_regret_figures(const Rows& rows, const std::string& prefix, Figures& figures);

}  // namespace polyattn::bench::polynomial
