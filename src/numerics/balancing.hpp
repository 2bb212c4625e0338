#pragma once

/// Linear maps of queries and keys that keep their inner products and make both second moments the same diagonal
/// matrix: the coordinates that come out are uncorrelated on both sides, and ordered by what they contribute to the
/// scores.

#include <optional>
#include <vector>

namespace polyattn::numerics {

/// q' = query q, k' = key k, row-major [dim][dim]; query^T key is the identity up to rounding.
struct Balancing {
  int dim = 0;
  std::vector<double> query;
  std::vector<double> key;
  std::vector<double> spread;  ///< descending; the second moment of either side along each new coordinate
};

/// From second moments of queries and keys, row-major [dim][dim], symmetric and positive semidefinite up to rounding.
/// With C C^T that of the queries and C^T K C = V D V^T the maps are D^(1/4) V^T C^-1 and D^(-1/4) V^T C^T. Both
/// moments are first raised by 1e-8 of their mean eigenvalue, so that directions without any variance do no harm.
/// Nothing if either has no positive finite trace or the eigenvalues do not converge. Any maps are correct for what
/// uses them; how far query^T key is from the identity is measured there. Cost: some 40 dim^3.
std::optional<Balancing> balance(std::vector<double> queries, std::vector<double> keys, int dim);

}  // namespace polyattn::numerics
