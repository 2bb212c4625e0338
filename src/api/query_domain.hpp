#pragma once

/// The domain of queries that keys are prepared for: declared as a box or a ball, checked, turned into what planning
/// needs, left by a query set, widened to take it in.

#include "planning/decide.hpp"
#include "polyattn/attention.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::api {

/// Throws Error (invalid_argument) unless the domain is declared in one way, by finite numbers for `dim` axes.
void check_domain(const QueryDomain& domain, std::int64_t dim);
/// Box and ball as an extent in this head's metric.
engines::QueryExtent declared_extent(const QueryDomain& domain, const std::vector<double>& metric);
/// Points of the domain to plan with, [points][dim]: the same numbers every time.
std::vector<double> draw_representatives(const QueryDomain& domain, const engines::QueryExtent& extent);

/// And points at its ends, [points][dim]: the farthest corner of a box; of a ball the point farthest from the origin
/// and both ends of every axis, beyond 64 dimensions the farthest corner of its box.
std::vector<double> farthest_points(const QueryDomain& domain, const engines::QueryExtent& extent);

/// Some head's queries are not all in its domain. One domain per problem.
bool leaves_domain(const std::vector<planning::Domain>& domains, const std::vector<engines::HeadProblem>& problems,
                   const base::Context& context);
/// The union of the domains and of the problems' queries, as a box in the queries' own coordinates. At least one head.
QueryDomain widened(const std::vector<planning::Domain>& domains, const std::vector<engines::HeadProblem>& problems,
                    const base::Context& context);

}  // namespace polyattn::api
