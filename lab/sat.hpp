#pragma once

/// SAT by attention: formula -> 3-OV -> order-3 attention, decided from outputs alone, and the way back to a model,
/// which is checked.

#include "lab/cnf.hpp"
#include "lab/triple_search.hpp"

#include <array>
#include <optional>

namespace polyattn::lab {

struct SatAnswer {
  std::optional<Assignment> model;      ///< satisfies the formula; none: there is no model
  std::array<std::int64_t, 3> lists{};  ///< vectors in the lists of 3-OV
  std::int64_t clauses = 0;             ///< after simplification
  SearchReport search;
};

/// Up to 36 variables that occur: 2^(2N/3) tuples for each of 2^(N/3) rows.
///
/// Throws Error (invalid_argument) if there are more, (not_reachable) if the oracle's error is too large, (cancelled);
/// std::logic_error if an oracle that claims to be accurate led to an assignment that is no model.
SatAnswer solve_sat(const Cnf& formula, const Oracle& oracle, const Progress& progress = {});

}  // namespace polyattn::lab
