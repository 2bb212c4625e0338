#pragma once

/// What the planner could have chosen: exact in either arithmetic, the grid, the polynomial engine in either
/// arithmetic at the degrees about the one it would take there itself.

#include "support/case.hpp"

#include <string>
#include <vector>

namespace polyattn::bench::polynomial {

struct Choice {
  std::string name;  ///< "auto", "exact float32", "grid", "polynomial float64", "polynomial float64 degree 5"
  Problem problem;
  bool exact = false;
  std::vector<double> seconds;
};

/// The automatic choice first, then all that certify the tolerance; each has been called once or more and holds no
/// times. Those hopelessly slower than the fastest, by prediction or by those calls, are left out.
std::vector<Choice> certified_choices(const Problem& automatic, const View& output);

/// Adds one time to each, beginning with another one each turn.
void time_round(std::vector<Choice>& choices, const View& output, std::size_t turn);

/// Index of the one with the least median, the automatic one included.
std::size_t fastest(const std::vector<Choice>& choices);

}  // namespace polyattn::bench::polynomial
