#pragma once

/// Factors for the coordinates of queries and keys, a^0 and a^1 ... a^m with product 1 in every coordinate, that make
/// Hoelder's bound of the scores small. Any factors are correct: the bound is taken from norms of all rows afterwards.

#include "engines/tuple_problem.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

struct Rescaling {
  std::vector<double> query;              ///< a^0, one a coordinate; finite and positive
  std::vector<std::vector<double>> keys;  ///< a^s
  double slack = 1.0;                     ///< at least 1 / (a^0_l ... a^m_l) for every l, as rounded
};

/// Hoelder's inequality for exponents 2 and 2m is an equality where (a^0_l q_l)^2 and (a^s_l k^s_l)^2m are
/// proportional, for means over rows where their means are: with Q_l, K^s_l the means over a sample of some hundred
/// rows, a^0_l = (u_l / Q_l)^(1/2), a^s_l = (u_l / K^s_l)^(1/2m), u_l = Q_l^(1/2) prod_s (K^s_l)^(1/2m). Coordinates in
/// which one of these is 0 or not finite are left alone. `seen` bounds the keys that are looked at, set by set.
Rescaling rescale(const TupleProblem& problem, const std::vector<KeyRange>& seen);

}  // namespace polyattn::engines
