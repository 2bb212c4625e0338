#pragma once

// Numbers of monomials, checked against overflow.

#include <cstdint>

namespace polyattn::numerics {

/// C(n, k) for 0 <= k <= n; 0 for k > n; -1 if it does not fit 63 bits or an argument is negative.
std::int64_t binomial(std::int64_t n, std::int64_t k) noexcept;

/// Monomials of degree at most `degree` in `dim` variables, C(dim + degree, degree); -1 as above.
std::int64_t feature_rank(std::int64_t dim, int degree) noexcept;

/// The papers count the monomials of degree at most k degree in k dim variables, C(k (dim + degree), k degree) for
/// order k: [AS23] Lemma 3.2 for 2, [AS24] Lemma E.1 for 3. -1 as above.
std::int64_t papers_rank(std::int64_t dim, int degree, int order = 2) noexcept;

}  // namespace polyattn::numerics
