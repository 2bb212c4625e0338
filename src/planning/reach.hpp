#pragma once

/// How far a polynomial reaches: which keys it leaves out and which share of the rows it is made for. The planner tries
/// a few reaches and takes the cheapest.

#include "engines/polynomial/key_shells.hpp"

#include <cstddef>
#include <vector>

namespace polyattn::planning {

struct Reach {
  std::size_t shells = 0;  ///< kept; all of them: no key is left out
  double share = 1.0;      ///< of the rows, those of smallest norm
};

/// Whether keys can be left out, and it might pay: asked before their shells are measured.
bool may_leave_out(const engines::HeadProblem& problem, const engines::Frame& frame) noexcept;

/// Reaches to try beside all keys and all rows, by falling radius; no shells were measured: all keys. `allowed` is the
/// mass that may be left out, as a share of all, in the eyes of the farthest row that is served. `domain`: queries are
/// known by their extent only, and all are served.
std::vector<Reach> reaches(const engines::HeadProblem& problem, const engines::Frame& frame,
                           const engines::QueryExtent& extent, const engines::KeyShells& keys, double allowed,
                           bool domain);

}  // namespace polyattn::planning
