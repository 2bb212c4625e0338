#pragma once

/// What certificates to expect of a head's rows, before any of them is answered.

#include "engines/grid/head.hpp"

namespace polyattn::planning {

struct ExpectedRows {
  double share = 0.0;  ///< of the rows that will not be certified
  double bound = 0.0;  ///< largest of the others
};

/// By the parts of the cells that rows are in; those of a cell are taken to be spread evenly over its parts that keys
/// reach. `charges` are charge_head's, `sums` estimate_rows'. Cost: as many certificates as there are parts.
ExpectedRows expect_rows(const engines::grid::GridHead& head, const engines::grid::Field& charges,
                         const engines::grid::Field& sums, double tolerance);

}  // namespace polyattn::planning
