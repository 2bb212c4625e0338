#include "engines/polynomial/features.hpp"

#include "base/checked.hpp"
#include "numerics/rank.hpp"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

namespace polyattn::engines {
namespace {

using base::usize;

std::vector<simd::MonomialStep> kernel_steps(const numerics::Monomials& list) {
  std::vector<simd::MonomialStep> steps;
  steps.reserve(list.steps.size());
  for (const numerics::MonomialStep& step : list.steps) {
    steps.push_back({step.degree, step.variable});
  }
  return steps;
}

/// Each outer monomial's parent and the variable it is made with.
std::vector<std::pair<std::ptrdiff_t, int>> outer_parents(const numerics::Monomials& outer) {
  std::vector<std::pair<std::ptrdiff_t, int>> parents(usize(outer.rank()), {-1, -1});
  std::vector<std::ptrdiff_t> latest(outer.offsets.begin(), outer.offsets.end() - 1);
  std::vector<std::ptrdiff_t> next = latest;
  for (const numerics::MonomialStep& step : outer.steps) {
    const std::size_t t = step.degree;
    parents[usize(next[t])] = {latest[t - 1], step.variable};
    latest[t] = next[t]++;
  }
  return parents;
}

simd::MonomialProgram program_of(const numerics::Monomials& list, const std::vector<simd::MonomialStep>& steps) {
  return {steps.data(), static_cast<std::ptrdiff_t>(steps.size()), list.degree, list.offsets.data()};
}

}  // namespace

std::ptrdiff_t FeatureList::rank() const noexcept {
  std::ptrdiff_t count = 0;
  for (int s = 0; s <= outer.degree; ++s) {
    const std::size_t at = usize(s);
    count += (outer.offsets[at + 1] - outer.offsets[at]) * inner.offsets[usize(degree() - s) + 1];
  }
  return count;
}

simd::FeatureProgram FeatureList::program() const noexcept {
  return {program_of(inner, inner_steps),
          program_of(outer, outer_steps),
          split(),
          rows.data(),
          row_count(),
          active.data(),
          starts.data(),
          columns_at.data(),
          columns()};
}

int best_split(std::int64_t dim, int degree, std::int64_t columns) {
  // Vector operations of a token on both sides: multiply-adds of the moments are the same for every split. A row or an
  // inner feature costs its product, a load or two and a store, a target of sums a load, a multiply-add and a store.
  constexpr double kFeature = 3.0;
  constexpr double kTarget = 3.0;
  constexpr double kMostRows = 128.0;  // must stay in the second-level cache
  int best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (int split = 0; split < std::min<std::int64_t>(dim, 5); ++split) {
    const auto outer =
        static_cast<double>(std::max<std::int64_t>(1, split == 0 ? 1 : numerics::feature_rank(split, degree)));
    const auto inner = static_cast<double>(numerics::feature_rank(static_cast<int>(dim) - split, degree));
    const auto largest =
        split == 0 ? 1.0 : static_cast<double>(numerics::feature_rank(split - 1, degree));  // of one degree
    if (split > 0 && (outer * static_cast<double>(columns) > kMostRows || largest > simd::kOuterMonomials)) {
      break;
    }
    // Pairs (outer monomial, inner degree), and how many groups an inner degree has at least.
    const auto pairs = static_cast<double>(numerics::feature_rank(split + 1, degree));
    const double groups = std::max(pairs, inner / static_cast<double>(simd::kEvaluationGroup));
    const double cost = kFeature * (2.0 * inner + outer * static_cast<double>(columns + 1)) +
                        kTarget * groups * static_cast<double>(columns);
    if (cost < least) {
      least = cost;
      best = split;
    }
  }
  return best;
}

FeatureList make_features(std::int64_t dim, int degree, std::int64_t value_dim, bool spread) {
  return split_features(dim, best_split(dim, degree, value_dim + 1), degree, value_dim, spread);
}

FeatureList split_features(std::int64_t dim, int split, int degree, std::int64_t value_dim, bool spread) {
  FeatureList list;
  list.value_dim = value_dim;
  list.spread = spread && degree >= kSpreadDegree && value_dim > 0;
  list.inner = numerics::monomials(static_cast<int>(dim) - split, degree);
  list.outer = split > 0 ? numerics::monomials(split, degree) : numerics::Monomials{0, 0, {}, {0, 1}};
  list.inner_steps = kernel_steps(list.inner);
  list.outer_steps = kernel_steps(list.outer);
  const auto parents = outer_parents(list.outer);
  // Rows by falling degree left; the values and the weight before the spreads.
  const std::int64_t plain = value_dim + 1;
  for (int left = degree; left >= 0; --left) {
    const auto add = [&](int limit, std::int64_t first, std::int64_t last) {
      const int s = limit - left;  // degree of the outer monomials
      if (s < 0 || s > list.outer.degree) {
        return;
      }
      for (std::int64_t c = first; c < last; ++c) {  // rows of one column and degree have one target: side by side
        for (std::ptrdiff_t a = list.outer.offsets[usize(s)]; a < list.outer.offsets[usize(s) + 1]; ++a) {
          list.rows.push_back({static_cast<std::int32_t>(a), s, static_cast<std::int32_t>(c), -1, -1});
        }
      }
    };
    add(degree, 0, plain);
    if (list.spread) {
      add(kSpreadDegree, plain, list.columns());
    }
  }
  std::vector<std::vector<std::int32_t>> index(usize(list.outer.rank()),
                                               std::vector<std::int32_t>(usize(list.columns()), -1));
  for (std::size_t k = 0; k < list.rows.size(); ++k) {
    simd::OuterRow& row = list.rows[k];
    index[usize(row.outer)][usize(row.column)] = static_cast<std::int32_t>(k);
    if (row.outer > 0) {
      const auto& [parent, variable] = parents[usize(row.outer)];
      row.parent = index[usize(parent)][usize(row.column)];
      row.variable = variable;
    }
  }
  for (std::int64_t c = 0; c < list.columns(); ++c) {
    list.column_row.push_back(index[0][usize(c)]);
  }
  list.starts.push_back(0);
  for (int u = 0; u <= degree; ++u) {
    std::ptrdiff_t active = 0;
    for (const simd::OuterRow& row : list.rows) {
      const int limit = row.column < plain ? degree : kSpreadDegree;
      active += limit - row.degree >= u ? 1 : 0;
    }
    list.active.push_back(active);
    const std::size_t at = usize(u);
    const std::int64_t features = list.inner.offsets[at + 1] - list.inner.offsets[at];
    list.starts.push_back(list.starts.back() + base::checked_mul(features, active, "moments"));
    list.columns_at.push_back(u <= kSpreadDegree ? list.columns() : plain);
  }
  return list;
}

void moment_weights(const FeatureList& features, const double* z, double* out) {
  std::vector<double> outer(usize(features.outer_count()));
  std::vector<double> inner(usize(features.inner.rank()));
  numerics::multinomial_weights(features.outer, z, outer.data());
  numerics::multinomial_weights(features.inner, z + features.split(), inner.data());
  for (int u = 0; u <= features.degree(); ++u) {
    const std::ptrdiff_t active = features.active[usize(u)];
    std::vector<double> row(usize(active));
    for (std::ptrdiff_t k = 0; k < active; ++k) {
      const simd::OuterRow& entry = features.rows[usize(k)];
      double choose = 1.0;  // C(s + u, s)
      for (int i = 1; i <= entry.degree; ++i) {
        choose = choose * (u + i) / i;
      }
      row[usize(k)] = choose * outer[usize(entry.outer)];
    }
    for (std::ptrdiff_t f = features.inner.offsets[usize(u)]; f < features.inner.offsets[usize(u) + 1]; ++f) {
      for (std::ptrdiff_t k = 0; k < active; ++k) {
        out[features.moment(u, f, k)] = row[usize(k)] * inner[usize(f)];
      }
    }
  }
}

}  // namespace polyattn::engines
