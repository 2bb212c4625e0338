#pragma once

/// Attention by its definition, in long double or binary128: what the library's answers are judged by.

#include "support/problem.hpp"
#include "support/quad.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::test {

/// Exact up to rounding in Real. Everything is batch-major, [batch, heads, n_q(, d_v)].
template <class Real>
struct Truth {
  std::vector<Real> output;     ///< zero rows where no key is visible
  std::vector<double> doubt;    ///< bound on the error of `output` from rounding in Real
  std::vector<Real> magnitude;  ///< sum_j p_ij |v_jc|
  std::vector<Real> lse;        ///< log sum_j exp(s_ij + b_j); -infinity where no key is visible
  std::vector<double> lse_doubt;
  std::vector<Real> row_max;  ///< max_j s_ij + b_j
};

/// The number of leading keys that row i may see.
std::int64_t visible_keys(Causal causal, std::int64_t row, std::int64_t n_q, std::int64_t n_kv);

/// Stored inputs are taken as exact; the default scale is the double nearest to 1/sqrt(dim) as the library defines it.
/// Keys with bias -infinity are never read.
template <class Real>
Truth<Real> truth_of(const Problem& problem);
extern template Truth<long double> truth_of<long double>(const Problem&);
#if defined(POLYATTN_TEST_FLOAT128)
extern template Truth<Quad> truth_of<Quad>(const Problem&);
#endif

}  // namespace polyattn::test
