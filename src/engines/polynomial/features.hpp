#pragma once

/// The features of one head: all monomials of total degree <= g, either walked through one by one or, with few columns,
/// as products of prefixes and suffixes (products.hpp). That changes the order in which products are taken, not what is
/// summed.

#include "engines/polynomial/products.hpp"
#include "numerics/monomials.hpp"
#include "simd/kernels.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// The even moment whose sums with |v - mu| are kept where `spread` columns are asked for.
inline constexpr int kSpreadDegree = 2;

struct FeatureList {
  numerics::Monomials list;  ///< the monomials where they are walked through, else only dim and degree
  std::vector<simd::MonomialStep> steps;
  Products products;                       ///< none where monomials are walked through
  std::vector<std::ptrdiff_t> starts;      ///< [degree + 1] where the moments of a degree begin; of a walk
  std::vector<std::ptrdiff_t> columns_at;  ///< [degree + 1]
  std::ptrdiff_t moment_count = 0;
  std::int64_t value_dim = 0;
  bool spread = false;  ///< columns w |v - mu| up to kSpreadDegree after the values' and the weight's

  [[nodiscard]] int degree() const noexcept { return list.degree; }
  [[nodiscard]] std::int64_t dim() const noexcept { return list.dim; }
  /// 0: a walk.
  [[nodiscard]] int prefix_degree() const noexcept { return products.prefix_degree; }
  /// C(dim + degree, degree), or what a list of one's own has.
  [[nodiscard]] std::ptrdiff_t rank() const noexcept;
  /// Values, the weight, and the spreads if there are any.
  [[nodiscard]] std::int64_t columns() const noexcept { return value_dim + 1 + (spread ? value_dim : 0); }
  /// The moments of the monomial 1 come first, column by column.
  [[nodiscard]] std::ptrdiff_t moments() const noexcept { return moment_count; }
  /// Rows of a block of keys: every prefix times every column.
  [[nodiscard]] std::ptrdiff_t row_count() const noexcept;
  [[nodiscard]] std::ptrdiff_t prefix_count() const noexcept {
    return static_cast<std::ptrdiff_t>(products.prefixes.size());
  }
  /// Elements of scratch for the monomials of `tokens` tokens, `group` of them at a time where they are walked through.
  [[nodiscard]] std::ptrdiff_t monomial_scratch(std::ptrdiff_t group, std::ptrdiff_t tokens) const noexcept;
  /// Multiply-adds of a token: the moments of its features.
  [[nodiscard]] double work() const noexcept { return static_cast<double>(moments()); }
  [[nodiscard]] simd::FeatureProgram program() const noexcept;
};

/// `spread` needs a degree of at least kSpreadDegree and is dropped below. Cost: rank (value_dim + 1).
FeatureList make_features(std::int64_t dim, int degree, std::int64_t value_dim, bool spread = false);
/// The same with a given degree of prefixes, at most `degree`; 0, and always with spreads: a walk.
FeatureList make_features_with(std::int64_t dim, int degree, std::int64_t value_dim, bool spread, int prefix_degree);

/// Any list of monomials, walked through: its degrees and parents as numerics::monomials has them.
FeatureList walk_features(numerics::Monomials list, std::int64_t value_dim, bool spread = false);

/// out[moment] = (t!/alpha!) z^alpha of its feature, t = |alpha|: the weight of a monomial in
/// <z o y, x>^t = sum (t!/alpha!) z^alpha y^alpha x^alpha. Relative error at most 5t + 2 roundings of float64.
void moment_weights(const FeatureList& features, const double* z, double* out);

}  // namespace polyattn::engines
