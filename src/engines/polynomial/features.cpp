#include "engines/polynomial/features.hpp"

#include "base/checked.hpp"
#include "numerics/rank.hpp"

#include <algorithm>
#include <utility>

namespace polyattn::engines {

using base::usize;

std::ptrdiff_t FeatureList::rank() const noexcept {
  return prefix_degree() > 0 ? static_cast<std::ptrdiff_t>(numerics::feature_rank(dim(), degree())) : list.rank();
}

std::ptrdiff_t FeatureList::row_count() const noexcept {
  return columns() * std::max<std::ptrdiff_t>(prefix_count(), 1);
}

std::ptrdiff_t FeatureList::monomial_scratch(std::ptrdiff_t group, std::ptrdiff_t tokens) const noexcept {
  return prefix_degree() > 0 ? static_cast<std::ptrdiff_t>(products.suffixes.size()) * tokens
                             : (degree() + 1) * simd::group_stride(group, tokens);
}

simd::FeatureProgram FeatureList::program() const noexcept {
  const auto count = [](const auto& items) { return static_cast<std::ptrdiff_t>(items.size()); };
  return {
      degree(),
      columns(),
      {steps.data(), count(steps), list.degree, list.offsets.data(), starts.data(), columns_at.data()},
      {products.prefixes.data(), count(products.prefixes), products.suffixes.data(), count(products.suffixes),
       products.key_groups.data(), count(products.key_groups), products.sum_groups.data(), count(products.sum_groups)}};
}

FeatureList make_features(std::int64_t dim, int degree, std::int64_t value_dim, bool spread) {
  return make_features_with(dim, degree, value_dim, spread, best_prefix_degree(dim, degree, value_dim + 1));
}

FeatureList make_features_with(std::int64_t dim, int degree, std::int64_t value_dim, bool spread, int prefix_degree) {
  const bool spreads = spread && degree >= kSpreadDegree && value_dim > 0;
  if (prefix_degree == 0 || spreads) {
    return walk_features(numerics::monomials(static_cast<int>(dim), degree), value_dim, spreads);
  }
  FeatureList features;
  features.value_dim = value_dim;
  features.list.dim = static_cast<int>(dim);
  features.list.degree = degree;
  features.products = make_products(static_cast<int>(dim), degree, prefix_degree, features.columns());
  features.moment_count = features.products.moments;
  return features;
}

FeatureList walk_features(numerics::Monomials list, std::int64_t value_dim, bool spread) {
  FeatureList features;
  features.value_dim = value_dim;
  features.spread = spread;
  features.list = std::move(list);
  features.steps.reserve(features.list.steps.size());
  for (const numerics::MonomialStep& step : features.list.steps) {
    features.steps.push_back({step.degree, step.variable});
  }
  for (int t = 0; t <= features.degree(); ++t) {
    const std::int64_t columns = t <= kSpreadDegree ? features.columns() : value_dim + 1;
    features.columns_at.push_back(columns);
    features.starts.push_back(features.moment_count);
    const std::int64_t monomials = features.list.offsets[usize(t) + 1] - features.list.offsets[usize(t)];
    features.moment_count += base::checked_mul(monomials, columns, "moments");
  }
  return features;
}

void moment_weights(const FeatureList& features, const double* z, double* out) {
  if (features.prefix_degree() > 0) {
    product_weights(features.products, z, out);
    return;
  }
  std::vector<double> weights(usize(features.list.rank()));
  numerics::multinomial_weights(features.list, z, weights.data());
  for (int t = 0; t <= features.degree(); ++t) {
    for (std::ptrdiff_t f = features.list.offsets[usize(t)]; f < features.list.offsets[usize(t) + 1]; ++f) {
      out = std::fill_n(out, features.columns_at[usize(t)], weights[usize(f)]);
    }
  }
}

}  // namespace polyattn::engines
