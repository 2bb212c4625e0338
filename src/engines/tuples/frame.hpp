#pragma once

/// What the polynomial engine for tuples knows of a head before a degree is chosen: the coordinates of its virtual
/// keys, the radius of its scores, and the range of the products of values.
///
/// There is no free shift of queries, keys or values for k >= 3. What is free is a factor for every coordinate of each
/// of q, k^1 ... k^m, as long as the product of these is 1. It enters the bounds of the scores alone (Hoelder):
///
///     |s| <= |scale| |a^0 q|_2 prod_s |a^s k^s|_{p_s},   sum 1 / p_s = 1 / 2,   prod_s a^s = 1 in every coordinate,
///     |s| <= |scale| sum_l |q_l| prod_s max |k^s_l|.

#include "engines/polynomial/frame.hpp"
#include "engines/polynomial/moments.hpp"
#include "engines/tuple_problem.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace polyattn::engines {

/// One key set as moments are summed over it.
struct TupleSet {
  HeadProblem problem;  ///< keys, values and bias of the set; no queries
  Frame frame;          ///< log weights (the biases, -inf for keys nobody sees), scales and extents; centres 0
  ValueRange values;    ///< of the keys somebody sees; centre 0
  KeyRange seen;        ///< keys that rows may see by position
  std::string name;     ///< "[s]", for messages
};

struct TupleFrame {
  std::vector<TupleSet> sets;
  HeadProblem problem;  ///< the queries, against virtual keys that are never formed
  /// Of the virtual keys: metric is (a^0)^2, and key_norm and key_half are such that sqrt(sum metric q^2) key_norm and
  /// sum metric |q| key_half are the two bounds above. No log weights.
  Frame frame;
  ValueRange values;                      ///< hull of the products of values; centre 0
  std::vector<std::int64_t> far_queries;  ///< some of largest norm, for predictions
  bool everything_seen = true;            ///< every row sees every key of every set, hidden ones apart
};

/// Whether every row sees, by position, every key of every set.
bool sees_everything(const TupleProblem& problem) noexcept;

/// Cost: a few passes over Q, K and V; 8 bytes of memory a key. Error (non_finite) names the first number that is not
/// finite among queries and keys that are not hidden, unless the problem propagates them: then the radius is infinite
/// and no row will be served.
TupleFrame make_tuple_frame(const TupleProblem& problem, const base::Context& context);

}  // namespace polyattn::engines
