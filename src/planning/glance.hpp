#pragma once

/// Before anything is measured: could polynomials be worth the search for them? From the sizes and, where they do not
/// say, from a few rows and keys. A glance decides what is tried, never what is certified.

#include "planning/cost_model.hpp"
#include "planning/request.hpp"

namespace polyattn::planning {

struct Glance {
  bool worth = true;            ///< go on and search
  int degree = -1;              ///< the lowest that might do; -1: none that is cheaper than exact, or nobody looked
  double exact_seconds = 0.0;   ///< of the arithmetic that is likely to meet the tolerance
  double seconds = 0.0;         ///< of polynomials of that degree, as if every row were served
  double search_seconds = 0.0;  ///< what the search is predicted to cost
  double radius = 0.0;          ///< of a typical row that was looked at
};

/// Cost: none where the sizes say enough, else some 16 rows and 64 keys, fewer where exact takes less than a
/// millisecond, and their products. `pairs` and `queries` as in the cost model.
Glance glance(const engines::HeadProblem& problem, const Request& request, const CostModel& cost, double queries,
              double pairs);

}  // namespace polyattn::planning
