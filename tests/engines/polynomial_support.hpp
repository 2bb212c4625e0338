#pragma once

/// Hard heads for the polynomial engine, and a search among them.

#include "support/polynomial_run.hpp"

#include <cstdint>

namespace polyattn::test {

/// Heads meant to be hard (edges of the radius, offsets, ties, biases far apart, either score), and from each a search
/// that climbs measured / certified of the answer.
struct HardSearch {
  std::uint64_t seed = 0;
  int starts = 0;
  int steps = 0;  ///< changes tried from each start
  bool causal = false;
};
/// The test fails if a bound is broken on the way. The worst measured / certified of the answer is printed, with that
/// of log-sum-exp, and returned.
template <class T>
double expect_certified(const HardSearch& search);

}  // namespace polyattn::test
