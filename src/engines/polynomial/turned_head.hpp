#pragma once

/// A head in other coordinates: centred queries and keys under two linear maps that keep their inner products, so that
/// a few coordinates, the strong ones, carry most of the scores. The strong and the weak coordinates are each a head
/// with the dot score; the scores of the two add up to the centred scores of the head. docs/proofs/layers.md.

#include "base/memory.hpp"
#include "base/parallel.hpp"
#include "engines/polynomial/frame.hpp"
#include "engines/problem.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// Row-major [dim][dim]: sum_l (query q)_l (key k)_l is to be sum_l metric_l q_l k_l for centred q and k. How far it is
/// from that is measured and charged; any numbers are correct.
struct HeadMaps {
  std::vector<double> query;
  std::vector<double> key;
};

struct TurnedHead {
  base::Buffer<double> queries;  ///< [dim][n_q]
  base::Buffer<double> keys;     ///< [dim][n_kv]
  std::int64_t strong_dim = 0;
  HeadProblem whole;  ///< all coordinates, the strong ones first; values are the head's own
  HeadProblem strong;
  HeadProblem weak;
  Frame frame;  ///< of `whole`, centred at 0: log weights are the head's; weight_error includes what the maps may do
  Frame strong_frame;  ///< without log weights
  Frame weak_frame;    ///< likewise
};

/// `frame` is of `problem`, no key left out. 0 < strong < dim. Coordinates that are not between 1e-120 and 1e120 in
/// size give an infinite weight_error: no row is then certified. Cost: dim^2 a token; memory 8 (n_q + n_kv) dim bytes.
TurnedHead turn_head(const HeadProblem& problem, const Frame& frame, const HeadMaps& maps, std::int64_t strong,
                     const base::Context& context);

}  // namespace polyattn::engines
