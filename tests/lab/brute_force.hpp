#pragma once

/// Formulas decided by trying every assignment.

#include "lab/cnf.hpp"

namespace polyattn::lab::test {

inline bool brute_force(const Cnf& formula) {
  for (unsigned x = 0; x < 1U << formula.variables; ++x) {
    Assignment model;
    for (int v = 0; v < formula.variables; ++v) model.push_back((x >> v & 1U) != 0);
    if (satisfies(formula, model)) return true;
  }
  return false;
}

}  // namespace polyattn::lab::test
