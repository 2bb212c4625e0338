#pragma once

/// The features of one head: all monomials of total degree <= g, each the product of an outer monomial, in the first
/// `split` coordinates, and an inner one in the others. The outer ones are multiplied into the weighted columns once
/// for a block of keys; what is left of a feature's cost is its multiply-adds. The split changes the order in which
/// products are taken, not what is summed.

#include "numerics/monomials.hpp"
#include "simd/kernels.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// The even moment whose sums with |v - mu| are kept where `spread` columns are asked for.
inline constexpr int kSpreadDegree = 2;

struct FeatureList {
  numerics::Monomials inner;
  numerics::Monomials outer;
  std::vector<simd::MonomialStep> inner_steps;
  std::vector<simd::MonomialStep> outer_steps;
  std::vector<simd::OuterRow> rows;        ///< by falling degree left for inner monomials
  std::vector<std::ptrdiff_t> active;      ///< [degree + 1]
  std::vector<std::ptrdiff_t> starts;      ///< [degree + 2]; the last is the number of moments
  std::vector<std::ptrdiff_t> columns_at;  ///< [degree + 1]
  std::vector<std::ptrdiff_t> column_row;  ///< [columns]: the row that is the column itself
  std::int64_t value_dim = 0;
  bool spread = false;  ///< columns w |v - mu| up to kSpreadDegree after the values' and the weight's

  [[nodiscard]] int degree() const noexcept { return inner.degree; }
  [[nodiscard]] std::int64_t split() const noexcept { return outer.dim; }
  [[nodiscard]] std::int64_t dim() const noexcept { return outer.dim + inner.dim; }
  /// C(dim + degree, degree).
  [[nodiscard]] std::ptrdiff_t rank() const noexcept;
  /// Values, the weight, and the spreads if there are any.
  [[nodiscard]] std::int64_t columns() const noexcept { return value_dim + 1 + (spread ? value_dim : 0); }
  [[nodiscard]] std::ptrdiff_t moments() const noexcept { return starts.back(); }
  [[nodiscard]] std::ptrdiff_t outer_count() const noexcept { return outer.rank(); }
  [[nodiscard]] std::ptrdiff_t row_count() const noexcept { return static_cast<std::ptrdiff_t>(rows.size()); }
  /// Where the moment of an inner monomial of degree u (by its number) and a row lies.
  [[nodiscard]] std::ptrdiff_t moment(int u, std::ptrdiff_t inner_index, std::ptrdiff_t row) const noexcept {
    const auto at = static_cast<std::size_t>(u);
    return starts[at] + (inner_index - inner.offsets[at]) * active[at] + row;
  }
  /// Multiply-adds of a token: the moments of its features.
  [[nodiscard]] double work() const noexcept { return static_cast<double>(moments()); }
  [[nodiscard]] simd::FeatureProgram program() const noexcept;
};

/// `spread` needs a degree of at least kSpreadDegree and is dropped below. Cost: rank (value_dim + 1).
FeatureList make_features(std::int64_t dim, int degree, std::int64_t value_dim, bool spread = false);
/// The same with a given number of outer coordinates, at most dim - 1.
FeatureList split_features(std::int64_t dim, int split, int degree, std::int64_t value_dim, bool spread);
/// How many coordinates make_features takes as outer ones.
int best_split(std::int64_t dim, int degree, std::int64_t columns);

/// out[moment] = (t!/alpha!) z^alpha of its feature, t = |alpha|: the weight of a monomial in
/// <z o y, x>^t = sum (t!/alpha!) z^alpha y^alpha x^alpha. Relative error at most 5t + 2 roundings of float64.
void moment_weights(const FeatureList& features, const double* z, double* out);

}  // namespace polyattn::engines
