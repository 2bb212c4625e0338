#pragma once

/// Monomials as products of a prefix and a suffix. A monomial is the non-decreasing list of its variables; cut after
/// the first h of them, it is a prefix of degree h times a suffix whose variables are no earlier than the prefix's
/// last. So C(d + g, g) monomials come from C(d + h, h) prefixes and C(d + g - h, g - h) suffixes, and since prefixes
/// are sorted by their last variable, a suffix goes with a leading part of them: moments become products of two short
/// lists. With few columns that saves what a monomial costs beside its multiply-adds.

#include "simd/polynomial_kernels.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// All monomials of degree <= g in `dim` variables, cut after the first `prefix_degree` variables; those of a lower
/// degree are prefixes with the suffix 1.
struct Products {
  int dim = 0;
  int degree = 0;
  int prefix_degree = 0;
  std::int64_t columns = 0;
  std::vector<simd::MonomialProduct> prefixes;  ///< by degree, within a degree by their last variable
  std::vector<simd::MonomialProduct> suffixes;  ///< 1, then by their first variable, then by degree
  std::vector<simd::ProductGroup> key_groups;   ///< one for each first variable, all degrees
  std::vector<simd::ProductGroup> sum_groups;   ///< by rising degree of the products
  std::ptrdiff_t moments = 0;
};

/// 1 <= prefix_degree <= degree. Cost: rank.
Products make_products(int dim, int degree, int prefix_degree, std::int64_t columns);

/// Degree of the prefixes with which a token of `columns` columns is cheapest on both sides; 0: better walk through all
/// monomials one by one.
int best_prefix_degree(std::int64_t dim, int degree, std::int64_t columns) noexcept;

/// Vector operations of a token on both sides beside the multiply-adds of its moments, in products of two numbers.
double monomial_work(std::int64_t dim, int degree, std::int64_t columns, int prefix_degree) noexcept;
/// The same of a walk through `rank` monomials.
double walk_work(double rank, std::int64_t columns) noexcept;

/// out[moment] = (t!/alpha!) z^alpha, as moment_weights. Relative error at most 3t + 3 roundings of float64.
void product_weights(const Products& products, const double* z, double* out);

}  // namespace polyattn::engines
