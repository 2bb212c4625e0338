#pragma once

/// log of what a kernel density estimate is divided by. Proof: docs/proofs/smoothing.md, section 4.

#include "api/smoothing_inputs.hpp"

namespace polyattn::api {

struct Normaliser {
  double log = 0.0;    ///< N = log sum_j w_j + sum_l log(sqrt(2 pi) H_l), as computed
  double bound = 0.0;  ///< |computed - N|
};
/// Cost: O(n) with weights, else O(d).
Normaliser normaliser_of(const SmoothingInputs& inputs);

}  // namespace polyattn::api
